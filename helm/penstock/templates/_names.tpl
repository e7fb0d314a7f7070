{{/* Names that hold for any release name: no dots, a letter first, at most 30 characters, told apart by a hash when cut. */}}
{{- define "penstock.fullname" -}}
{{- $raw := .Values.fullnameOverride -}}
{{- if not $raw -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $raw = ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) -}}
{{- end -}}
{{- $name := $raw | lower | replace "." "-" -}}
{{- if not (regexMatch "^[a-z]" $name) -}}{{- $name = printf "p%s" $name -}}{{- end -}}
{{- if or (ne $name $raw) (gt (len $name) 30) -}}
{{- $name = printf "%s-%s" (regexReplaceAll "-+$" (trunc 24 $name) "") (sha256sum $raw | trunc 5) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "penstock.engine.name" -}}{{ include "penstock.fullname" .root }}-{{ .name }}{{- end -}}

{{/*
The Service by which the gateway finds an engine's replicas: at most 63 letters. The name of a LeaderWorkerSet itself is
left to its controller, whose headless Service of that name gives workers their leader's address before it is ready.
Takes {root, name}.
*/}}
{{- define "penstock.engine.service" -}}
{{- $engine := include "penstock.engine" . | fromJson -}}
{{- include "penstock.engine.name" . }}{{ if eq $engine.workload "LeaderWorkerSet" }}-leader{{ end -}}
{{- end -}}

{{- define "penstock.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "penstock.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What a selector says: it never changes while a release lives. Takes {root, component, engine}. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- with .engine }}
penstock.dev/engine: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/part-of: "penstock"
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- range $key, $value := .root.Values.commonLabels }}
{{ $key | quote }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* metadata of an object. Takes {root, component, engine, name, namespace, labels, annotations}. */}}
{{- define "penstock.metadata" -}}
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace | default .root.Release.Namespace | quote }}
  labels:
    {{- include "penstock.labels" . | nindent 4 }}
    {{- range $key, $value := .labels }}
    {{ $key | quote }}: {{ $value | quote }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key | quote }}: {{ $value | toString | quote }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* The model that the notes and the helm test ask. */}}
{{- define "penstock.first.model" -}}
{{- .Values.test.model | default (keys ((include "penstock.given" . | fromJson).models | default dict) | sortAlpha | first) -}}
{{- end -}}
