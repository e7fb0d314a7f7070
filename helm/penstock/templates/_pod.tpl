{{/* What every pod and container of the chart has, the helm test included: nothing may be forgotten in one of them. */}}

{{/* Seconds between a pod's end and SIGTERM: until every gateway and kube-proxy has heard of it. */}}
{{- define "penstock.preStopSeconds" -}}10{{- end -}}
{{/* preStop, then the drain, then what ending takes. */}}
{{- define "penstock.graceSeconds" -}}
{{- add (include "penstock.preStopSeconds" . | int) (int .Values.drainSeconds) 15 -}}
{{- end -}}

{{- define "penstock.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "penstock.gateway.image" -}}
{{- include "penstock.image" (merge (dict "tag" (.Values.image.tag | default .Chart.AppVersion)) .Values.image) -}}
{{- end -}}

{{/* Takes {root, user, account (empty: no token)}. */}}
{{- define "penstock.pod" -}}
{{- if .account }}
serviceAccountName: {{ .account | quote }}
automountServiceAccountToken: true
{{- else }}
automountServiceAccountToken: false
{{- end }}
enableServiceLinks: false    # a Service called vllm would set VLLM_PORT
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "penstock.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ .readOnly }}
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod may run. Takes the values of the gateway or of an engine. */}}
{{- define "penstock.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" }}
{{- with get $ $key }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Environment from {NAME: text} and {NAME: {secret, key}}. */}}
{{- define "penstock.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  valueFrom: {secretKeyRef: {name: {{ $value.secret | quote }}, key: {{ $value.key | quote }}}}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "penstock.preStop" -}}
lifecycle: {preStop: {exec: {command: [sleep, {{ include "penstock.preStopSeconds" . | quote }}]}}}
{{- end -}}
