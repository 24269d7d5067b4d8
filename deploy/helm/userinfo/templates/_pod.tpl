{{/* The part of a pod's specification that is the same for the service and the hooks, except its containers and volumes. */}}
{{- define "userinfo.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 64001
  runAsGroup: 64001
  fsGroup: 64001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The part of a container that is the same for the service and the hooks, except its name, arguments, ports and probes. */}}
{{- define "userinfo.container" -}}
image: {{ include "userinfo.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: files, mountPath: /etc/userinfo, readOnly: true}
{{- end -}}

{{/*
The sources of the volume /etc/userinfo. Each file belongs to root and to the group fsGroup, which may read it. The service refuses
a secret that others can read.
*/}}
{{- define "userinfo.sources" -}}
{{- range $path, $from := .Values.files }}
- {{ if $from.secret }}secret{{ else }}configMap{{ end }}:
    name: {{ $from.secret | default $from.configMap }}
    items:
      - {key: {{ $from.key | quote }}, path: {{ $path | quote }}}
{{- end }}
{{- end -}}

{{/* What the pods may connect to. An empty list of peers would allow every address, so it makes no rule. */}}
{{- define "userinfo.egress" -}}
{{- with .Values.networkPolicy.cassandra }}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ include "userinfo.cassandraPort" $ }}}
{{- end }}
{{- with .Values.networkPolicy.dns }}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
{{- end -}}
