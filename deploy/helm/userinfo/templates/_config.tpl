{{/* Stops the rendering if values contradict each other. values.schema.json checks each value alone. */}}
{{- define "userinfo.check" -}}
{{- $config := .Values.config -}}
{{- if lt (trimSuffix "s" $config.shutdown.drain | int) 5 -}}
{{- fail "config.shutdown.drain must be at least 5s: Kubernetes may send new connections to a pod for some seconds after it was told to stop" -}}
{{- end -}}
{{- if not $config.audiences.health -}}
{{- fail "config.audiences.health is closed: the probes of Kubernetes need it; give [{allow: true}], or a network that contains the nodes" -}}
{{- end -}}
{{- if dig "audit" "file" "" $config -}}
{{- fail "config.audit.file cannot be used, because the root file system of the pods is read-only; remove it, and take the audit records from the log" -}}
{{- end -}}
{{- range list "userinfo.yaml" "admin.yaml" "admin.password" -}}
{{- if hasKey $.Values.files . -}}
{{- fail (printf "files: the chart itself makes %s; use another name" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.cassandra) -}}
{{- fail "networkPolicy.cassandra is empty, so the pods could not reach Cassandra; list the nodes of the local datacentre" -}}
{{- end -}}
{{- if .Values.serviceMonitor.enabled -}}
{{- if not $config.audiences.metrics -}}
{{- fail "serviceMonitor: config.audiences.metrics is closed; add a rule that lets Prometheus in" -}}
{{- end -}}
{{- if not .Values.serviceMonitor.ca -}}
{{- fail "serviceMonitor.ca is missing: name the Secret or ConfigMap, and its key, with the CA of the service's certificate" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "userinfo.port" -}}
{{- regexFind "[0-9]+$" .Values.config.listen -}}
{{- end -}}

{{- define "userinfo.cassandraPort" -}}
{{- .Values.config.cassandra.port | default 9042 | int -}}
{{- end -}}

{{/* The configuration of `schema apply`: the service's, with another role. */}}
{{- define "userinfo.adminConfig" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := unset $config.cassandra "username_file" -}}
{{- $_ := set $config.cassandra "username" .Values.schemaApply.username -}}
{{- $_ := set $config.cassandra "password_file" "admin.password" -}}
{{- toYaml $config -}}
{{- end -}}

{{/* A hash of what the service does not reload, so that a change of it restarts the pods. */}}
{{- define "userinfo.restartChecksum" -}}
{{- $config := deepCopy .Values.config -}}
{{- range list "clients" "audiences" "authorities" "proxies" }}{{ $_ := unset $config . }}{{ end -}}
{{- with $config.seal }}{{ $_ := unset . "keys" }}{{ end -}}
{{- with dig "passwords" "seal" dict $config }}{{ $_ := unset . "keys" }}{{ end -}}
{{- range $config.collections }}{{ $_ := unset . "not_before" }}{{ end -}}
{{- toYaml $config | sha256sum -}}
{{- end -}}

{{/*
The time in seconds from SIGTERM until Kubernetes kills a pod. The service needs drain, then at most 2 s for first requests, grace,
3 s to close its connections to Cassandra, and 2 s to write its logs.
*/}}
{{- define "userinfo.terminationSeconds" -}}
{{- add (trimSuffix "s" .Values.config.shutdown.drain | int) (trimSuffix "s" .Values.config.shutdown.grace | int) 10 -}}
{{- end -}}
