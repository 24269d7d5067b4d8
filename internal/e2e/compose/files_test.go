// Package compose tests deploy/compose: that its files fit together, and, with the build tag integration, that the commands
// of its README do what the README says.
package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root = "../../.."
	dir  = root + "/deploy/compose"
)

// composition is the part of compose.yaml that the tests look at.
type composition struct {
	Services map[string]service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	Networks    map[string]struct {
		Address string `yaml:"ipv4_address"`
	}
}

func (s service) address() string { return s.Networks["default"].Address }

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readComposition(t *testing.T) composition {
	t.Helper()
	var c composition
	readYAML(t, "compose.yaml", &c)
	if len(c.Services) < 13 {
		t.Fatalf("compose.yaml has %d services", len(c.Services))
	}
	return c
}

// pinnedImage matches a setting with an image of one version as its default.
var pinnedImage = regexp.MustCompile(`^\$\{[A-Z]+_IMAGE:-[a-z/]+:v?[0-9]+\.[0-9]+\.[0-9]+(@sha256:[0-9a-f]{64})?\}$`)

func TestCompose_ImagesArePinned(t *testing.T) {
	for name, s := range readComposition(t).Services {
		if s.Image != "${USERINFO_IMAGE:-userinfo:latest}" && !pinnedImage.MatchString(s.Image) {
			t.Errorf("%s: image %s can change; name one version", name, s.Image)
		}
	}
}

// TestCompose_CassandraIsTheTestedImage compares the image with the one of all other tests.
func TestCompose_CassandraIsTheTestedImage(t *testing.T) {
	script := readFile(t, "../../internal/testenv/image.sh")
	for name, s := range readComposition(t).Services {
		image := strings.TrimSuffix(strings.TrimPrefix(s.Image, "${CASSANDRA_IMAGE:-"), "}")
		if strings.HasPrefix(name, "cassandra-") && !strings.Contains(script, "official="+image+"\n") {
			t.Errorf("%s: internal/testenv/image.sh has another image than %s", name, image)
		}
	}
}

func TestCompose_ListensOnLoopbackOnly(t *testing.T) {
	published := 0
	for name, s := range readComposition(t).Services {
		for _, port := range s.Ports {
			published++
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s can be reached from other machines", name, port)
			}
		}
	}
	if published != 4 {
		t.Errorf("found %d ports, want 4", published)
	}
}

func TestCompose_MountsExist(t *testing.T) {
	c := readComposition(t)
	for name, s := range c.Services {
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[source]; ok {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestCompose_AddressesAgree compares the addresses in compose.yaml with the other files.
func TestCompose_AddressesAgree(t *testing.T) {
	services := readComposition(t).Services
	for _, config := range []string{"dc1.yaml", "dc2.yaml"} {
		if want := "network: " + services["haproxy"].address() + "/32"; !strings.Contains(readFile(t, config), want) {
			t.Errorf("%s: proxies.proxy_protocol does not list haproxy: %s", config, want)
		}
	}
	seeds := services["cassandra-dc1-1"].address() + "," + services["cassandra-dc2-1"].address()
	seen := map[string]string{}
	for name, s := range services {
		if other := seen[s.address()]; other != "" && s.address() != "" {
			t.Errorf("%s and %s have the same address", name, other)
		}
		seen[s.address()] = name
		if strings.HasPrefix(name, "cassandra-") && s.Environment["CASSANDRA_SEEDS"] != seeds {
			t.Errorf("%s: the seeds are %q, want %s", name, s.Environment["CASSANDRA_SEEDS"], seeds)
		}
		if dc := s.Environment["CASSANDRA_DC"]; dc != "" && !strings.HasPrefix(name, "cassandra-"+dc+"-") {
			t.Errorf("%s is in datacentre %s", name, dc)
		}
	}
}

// TestConfigs_DifferInDatacentreOnly compares the configurations of the two instances.
func TestConfigs_DifferInDatacentreOnly(t *testing.T) {
	first, second := strings.Split(readFile(t, "dc1.yaml"), "\n"), strings.Split(readFile(t, "dc2.yaml"), "\n")
	if len(first) != len(second) {
		t.Fatalf("dc1.yaml has %d lines, dc2.yaml %d", len(first), len(second))
	}
	differences := 0
	for i := range first {
		if first[i] == second[i] {
			continue
		}
		differences++
		if strings.ReplaceAll(first[i], "dc1", "dc2") != second[i] {
			t.Errorf("line %d differs in more than the datacentre: %s", i+1, second[i])
		}
	}
	if differences != 3 {
		t.Errorf("%d lines differ, want the comment, hosts and local_datacentre", differences)
	}
}

func TestPrometheus_AsksBothInstances(t *testing.T) {
	services := readComposition(t).Services
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yml", &config)
	var targets []string
	for _, scrape := range config.Scrape {
		for _, static := range scrape.Static {
			targets = append(targets, static.Targets...)
		}
	}
	for _, target := range targets {
		if name, _ := strings.CutSuffix(target, ":8443"); services[name].Image == "" {
			t.Errorf("prometheus.yml asks %s, which is no service", target)
		}
	}
	if len(targets) != 2 || len(config.RuleFiles) != 1 {
		t.Errorf("prometheus.yml has targets %q and rules %q", targets, config.RuleFiles)
	}
	mounted(t, services["prometheus"], filepath.Dir(config.RuleFiles[0]), "../prometheus/rules")
}

func TestGrafana_FindsPrometheusAndDashboards(t *testing.T) {
	services := readComposition(t).Services
	var sources struct{ Datasources []struct{ URL string } }
	readYAML(t, "grafana/datasources/prometheus.yaml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].URL != "http://prometheus:9090" || services["prometheus"].Image == "" {
		t.Errorf("the data sources are %+v", sources)
	}
	var dashboards struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, "grafana/dashboards/userinfo.yaml", &dashboards)
	if len(dashboards.Providers) != 1 {
		t.Fatalf("the providers are %+v", dashboards)
	}
	mounted(t, services["grafana"], dashboards.Providers[0].Options.Path, "../grafana")
	mounted(t, services["grafana"], "/etc/grafana/provisioning", "./grafana")
}

// mounted checks that a service has a directory of the source tree at a path.
func mounted(t *testing.T, s service, path, source string) {
	t.Helper()
	want := source + ":" + path + ":ro"
	for _, volume := range s.Volumes {
		if volume == want {
			return
		}
	}
	t.Errorf("%s does not mount %s: %q", s.Image, want, s.Volumes)
}
