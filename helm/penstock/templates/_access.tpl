{{/* Who the gateway is to the API server, and what it may: by name, and nothing where it asks for nothing. */}}
{{- define "penstock.discovers" -}}
{{- $root := . -}}
{{- range $name, $_ := .Values.engines -}}
{{- if eq (include "penstock.engine" (dict "root" $root "name" $name) | fromJson).discovery "kubernetes" }}true{{ end -}}
{{- end -}}
{{- end -}}
{{- define "penstock.gateway.account" -}}
{{- if or (include "penstock.discovers" .) (eq .Values.autoscaling.mode "gateway") -}}{{ include "penstock.serviceAccount" . }}{{- end -}}
{{- end -}}
