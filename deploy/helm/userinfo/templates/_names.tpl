{{/* The name of all objects, and the beginning of the names of hooks. */}}
{{- define "userinfo.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "userinfo" .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-userinfo" .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels by which objects select the pods of the service. They can never change. */}}
{{- define "userinfo.selector" -}}
app.kubernetes.io/name: userinfo
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: service
{{- end -}}

{{/* The labels by which the network policy selects the pods of the hooks. */}}
{{- define "userinfo.hookSelector" -}}
app.kubernetes.io/name: userinfo
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: hook
{{- end -}}

{{/* The labels of every object, except those that say which component it belongs to. */}}
{{- define "userinfo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The beginning of an object: its name, namespace and labels. */}}
{{- define "userinfo.metadata" -}}
name: {{ include "userinfo.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "userinfo.selector" . | nindent 2 }}
  {{- include "userinfo.labels" . | nindent 2 }}
{{- end -}}

{{- define "userinfo.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
