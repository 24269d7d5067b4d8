//go:build integration

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// everyInstallation calls check with the objects of each installation of ci.
func everyInstallation(t *testing.T, check func(t *testing.T, all objects)) {
	for installation := range installations {
		t.Run(installation, func(t *testing.T) { check(t, render(t, valuesOf(installation)...)) })
	}
}

// TestPods_AreRestricted checks each setting that limits what a pod may do. Together they are the Pod Security Standard "restricted",
// and a read-only root file system, no token of a service account, and secrets that only the pod's group can read.
func TestPods_AreRestricted(t *testing.T) {
	everyInstallation(t, func(t *testing.T, all objects) {
		for name, template := range all.pods(t) {
			for path, want := range map[string]any{
				"spec automountServiceAccountToken":                          false,
				"spec enableServiceLinks":                                    false,
				"spec hostNetwork":                                           nil,
				"spec hostPID":                                               nil,
				"spec hostIPC":                                               nil,
				"spec initContainers":                                        nil,
				"spec securityContext runAsNonRoot":                          true,
				"spec securityContext runAsUser":                             64001,
				"spec securityContext runAsGroup":                            64001,
				"spec securityContext fsGroup":                               64001,
				"spec securityContext seccompProfile type":                   "RuntimeDefault",
				"spec containers 0 securityContext runAsNonRoot":             true,
				"spec containers 0 securityContext privileged":               false,
				"spec containers 0 securityContext allowPrivilegeEscalation": false,
				"spec containers 0 securityContext readOnlyRootFilesystem":   true,
				"spec containers 0 securityContext capabilities":             map[string]any{"drop": []any{"ALL"}},
				"spec containers 0 env":                                      nil,
				"spec containers 0 envFrom":                                  nil,
				"spec containers 0 volumeMounts":                             []any{map[string]any{"name": "files", "mountPath": mountPath, "readOnly": true}},
				"spec containers 1":                                          nil,
				"spec volumes 0 projected defaultMode":                       0o440,
				"spec volumes 1":                                             nil,
			} {
				if got := at(template, path); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %s is %v, want %v", name, path, got, want)
				}
			}
			if at(template, "spec containers 0 resources limits memory") == nil {
				t.Errorf("%s: there is no limit of memory, so Go has none either", name)
			}
		}
	})
}

// TestPods_ContainNoSecret checks that the chart makes no Secret, and that the configuration names files only.
func TestPods_ContainNoSecret(t *testing.T) {
	everyInstallation(t, func(t *testing.T, all objects) {
		for _, kind := range all.kinds() {
			if strings.HasPrefix(kind, "Secret ") || strings.HasPrefix(kind, "ServiceAccount ") || strings.HasPrefix(kind, "Role") {
				t.Errorf("the chart makes %s", kind)
			}
		}
	})
}

func TestDeployment_SpreadsPodsAndKeepsThemServing(t *testing.T) {
	everyInstallation(t, func(t *testing.T, all objects) {
		d := all.deployment(t)
		selector := at(d, "spec selector matchLabels")
		for path, want := range map[string]any{
			"spec strategy type":                                                       "RollingUpdate",
			"spec strategy rollingUpdate maxUnavailable":                               0,
			"spec strategy rollingUpdate maxSurge":                                     1,
			"spec template spec topologySpreadConstraints 0 topologyKey":               "kubernetes.io/hostname",
			"spec template spec topologySpreadConstraints 0 whenUnsatisfiable":         "DoNotSchedule",
			"spec template spec topologySpreadConstraints 0 maxSkew":                   1,
			"spec template spec topologySpreadConstraints 0 matchLabelKeys":            []any{"pod-template-hash"},
			"spec template spec topologySpreadConstraints 0 labelSelector matchLabels": selector,
			"spec template spec topologySpreadConstraints 1 topologyKey":               "topology.kubernetes.io/zone",
			"spec template spec topologySpreadConstraints 1 labelSelector matchLabels": selector,
			"spec template spec containers 0 lifecycle":                                nil,
		} {
			if got := at(d, path); !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		}
		term := at(d, "spec template spec affinity podAntiAffinity preferredDuringSchedulingIgnoredDuringExecution 0 podAffinityTerm")
		if text(term, "topologyKey") != "kubernetes.io/hostname" || !reflect.DeepEqual(at(term, "labelSelector matchLabels"), selector) {
			t.Errorf("the pods do not avoid each other: %v", term)
		}
		if number(d, "spec replicas") < 2 {
			t.Error("there is one pod only")
		}
	})
}

// TestSelectors_MatchPodsOfService checks every object that finds the pods by labels. The pods of hooks must not be found.
func TestSelectors_MatchPodsOfService(t *testing.T) {
	everyInstallation(t, func(t *testing.T, all objects) {
		name := text(all.deployment(t), "metadata name")
		service := all.named(t, "Service", name)
		selectors := map[string]any{
			"Deployment": at(all.deployment(t), "spec selector matchLabels"),
			"Service":    at(service, "spec selector"),
		}
		for _, kind := range []string{"PodDisruptionBudget", "NetworkPolicy"} {
			o := all.named(t, kind, name)
			selector := at(o, "spec selector matchLabels")
			if kind == "NetworkPolicy" {
				selector = at(o, "spec podSelector matchLabels")
			}
			selectors[kind] = selector
		}
		for kind, selector := range selectors {
			for pod, template := range all.pods(t) {
				if got := matches(selector, at(template, "metadata labels")); got != (pod == name) {
					t.Errorf("%s matches the pod of %s: %v", kind, pod, got)
				}
			}
		}
		ports := list(all.deployment(t), "spec template spec containers 0 ports")
		if target := at(service, "spec ports 0 targetPort"); len(ports) != 1 || at(ports[0], "name") != target {
			t.Errorf("the Service leads to port %v, and the pod has %v", target, ports)
		}
	})
}

// matches reports whether labels have every label of a selector. An empty selector matches nothing here.
func matches(selector, labels any) bool {
	want, _ := selector.(map[string]any)
	have, _ := labels.(map[string]any)
	for name, value := range want {
		if have[name] != value {
			return false
		}
	}
	return len(want) > 0
}

func TestPodDisruptionBudget_AllowsOne(t *testing.T) {
	everyInstallation(t, func(t *testing.T, all objects) {
		spec := at(all.named(t, "PodDisruptionBudget", text(all.deployment(t), "metadata name")), "spec")
		if number(spec, "maxUnavailable") != 1 || at(spec, "minAvailable") != nil || text(spec, "unhealthyPodEvictionPolicy") != "AlwaysAllow" {
			t.Errorf("%v", spec)
		}
	})
}

func TestService_KeepsAddressOfClient(t *testing.T) {
	for kind, want := range map[string]any{"ClusterIP": nil, "LoadBalancer": "Local", "NodePort": "Local"} {
		all := render(t, append(valuesOf("minimal"), "--set", "service.type="+kind)...)
		if got := at(all.named(t, "Service", "userinfo"), "spec externalTrafficPolicy"); got != want {
			t.Errorf("%s: externalTrafficPolicy %v, want %v", kind, got, want)
		}
	}
}

func TestImage_IsChosenByTagOrDigest(t *testing.T) {
	about := readYAML(t, chart+"/Chart.yaml")
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for flags, want := range map[string]string{
		"image.pullPolicy=Always":                     "userinfo:" + text(about, "appVersion"),
		"image.repository=r.example/u,image.tag=v1.2": "r.example/u:v1.2",
		"image.tag=v1.2,image.digest=" + digest:       "userinfo@" + digest,
	} {
		for name, template := range render(t, append(valuesOf("minimal"), "--set", flags)...).pods(t) {
			if got := at(template, "spec containers 0 image"); got != want {
				t.Errorf("%s with %s: image %v, want %s", name, flags, got, want)
			}
		}
	}
}

// TestImage_HasUserOfPods compares the user of the pods with the image's own.
func TestImage_HasUserOfPods(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root, "deploy", "image", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	security := at(render(t, valuesOf("minimal")...).deployment(t), "spec template spec securityContext")
	if user := fmt.Sprintf("\nUSER %v:%v\n", at(security, "runAsUser"), at(security, "runAsGroup")); !strings.Contains(string(dockerfile), user) {
		t.Errorf("deploy/image/Dockerfile does not contain %q", user)
	}
}

// TestHooks_CheckBeforeTheyApply checks that the configuration is checked first, and the schema applied then. A failure of a hook stops
// Helm before it changes an object.
func TestHooks_CheckBeforeTheyApply(t *testing.T) {
	for installation, want := range map[string][]string{
		"minimal":    {"-10 ConfigMap userinfo-next", "-10 NetworkPolicy userinfo-hooks", "-5 Job userinfo-check-config"},
		"everything": {"-10 ConfigMap sessions-next", "-10 NetworkPolicy sessions-hooks", "-5 Job sessions-check-config", "0 Job sessions-schema-apply"},
	} {
		var got []string
		for _, o := range render(t, valuesOf(installation)...) {
			annotations := at(o, "metadata annotations")
			if text(annotations, "helm.sh/hook") == "" {
				continue
			}
			if text(annotations, "helm.sh/hook") != "pre-install,pre-upgrade" || text(annotations, "helm.sh/hook-delete-policy") != "before-hook-creation,hook-succeeded" {
				t.Errorf("%s: %v", installation, annotations)
			}
			got = append(got, fmt.Sprint(text(annotations, "helm.sh/hook-weight"), " ", o["kind"], " ", at(o, "metadata name")))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: hooks %q, want %q", installation, got, want)
		}
	}
}
