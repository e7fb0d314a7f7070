{{/* Takes away, in place, the names that a later file of values says null of, wherever they are. Takes a map. */}}
{{- define "penstock.drop.null" -}}
{{- range $name, $value := . -}}
{{- if kindIs "map" $value -}}
{{- include "penstock.drop.null" $value -}}
{{- else if kindIs "slice" $value -}}
{{- range $value -}}{{- if kindIs "map" . -}}{{- include "penstock.drop.null" . -}}{{- end -}}{{- end -}}
{{- else if kindIs "invalid" $value -}}
{{- $_ := unset $ $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* `config` without them, in JSON. */}}
{{- define "penstock.given" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- include "penstock.drop.null" $config -}}
{{- toJson $config -}}
{{- end -}}

{{/* The gateway's configuration, as YAML: `config`, and what the chart knows of the cluster. */}}
{{- define "penstock.config" -}}
{{- $root := . -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $server := dict "host" "0.0.0.0" "port" (int (include "penstock.http.port" .)) "grace_s" (int .Values.drainSeconds) -}}
{{- if .Values.admin.metrics -}}{{- $_ := set $server "metrics" "off" -}}{{- end -}}
{{- $_ := set $config "server" (mergeOverwrite ($config.server | default dict) $server) -}}
{{- $_ := set $config "data_dir" "/var/lib/penstock" -}}
{{- if .Values.store.secret -}}
{{- $_ := set $config "store" (merge (dict "url" "${file:/run/secrets/penstock/chart/store-url}") ($config.store | default dict)) -}}
{{- end -}}
{{- $engines := $config.engines | default dict -}}
{{- range $name, $_ := include "penstock.engines" . | fromJson -}}
{{- $_ := set $engines $name (include "penstock.engine.config" (dict "root" $root "name" $name) | fromJson) -}}
{{- end -}}
{{- $_ := set $config "engines" $engines -}}
{{- $config = merge $config (include "penstock.config.cluster" . | fromYaml) -}}
{{- include "penstock.drop.null" $config -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "penstock.http.port" -}}8080{{- end -}}
{{- define "penstock.admin.port" -}}8081{{- end -}}
{{- define "penstock.scaler.port" -}}8082{{- end -}}

{{/* An engine of the chart's, as the gateway's configuration has it, in JSON. */}}
{{- define "penstock.engine.config" -}}
{{- $engine := include "penstock.engine" . | fromJson -}}
{{- $service := include "penstock.engine.service" . -}}
{{- $port := int (include "penstock.engine.port" .) -}}
{{- $config := mergeOverwrite (deepCopy $engine.config) (dict "kind" "vllm") -}}
{{- if eq $engine.discovery "kubernetes" -}}
{{- $_ := set $config "discover" (dict "kubernetes" (dict "service" $service "namespace" .root.Release.Namespace "port" $port)) -}}
{{- else -}}
{{- $_ := set $config "discover" (dict "dns" (dict "host" $service "port" $port)) -}}
{{- end -}}
{{- if $engine.kvEvents -}}
{{- $_ := set $config "kv_events" (dict "endpoint" (printf "tcp://{host}:%s" (include "penstock.kv.port" .)) "replay_endpoint" (printf "tcp://{host}:%s" (include "penstock.kv.replay.port" .))) -}}
{{- end -}}
{{- if $engine.apiKey.secret -}}
{{- $_ := set $config "api_key" (printf "${file:/run/secrets/penstock/chart/engine-%s}" .name) -}}
{{- end -}}
{{- if include "penstock.autoscaled" .root -}}
{{- $autoscale := dict "min" (int $engine.autoscale.min) "max" (int $engine.autoscale.max) -}}
{{- if hasKey $engine.autoscale "sleep" -}}{{- $_ := set $autoscale "sleep" $engine.autoscale.sleep -}}{{- end -}}
{{- if eq .root.Values.autoscaling.mode "gateway" -}}
{{- $workload := dict "kind" $engine.workload "name" (include "penstock.engine.name" .) "drain_s" (int .root.Values.drainSeconds) "start_s" (int $engine.startup.maxSeconds) -}}
{{- if and .root.Values.autoscaling.podDeletionCost (eq $engine.workload "Deployment") -}}
{{- $_ := set $workload "deletion_cost" true -}}
{{- end -}}
{{- $_ := set $autoscale "kubernetes" $workload -}}
{{- end -}}
{{- $_ := set $config "autoscale" (mergeOverwrite ($config.autoscale | default dict) $autoscale) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* "true" where engines of `config` sleep. */}}
{{- define "penstock.config.sleeps" -}}
{{- range $_, $engine := (include "penstock.given" . | fromJson).engines | default dict -}}{{- if kindIs "map" (dig "autoscale" "sleep" "" $engine) }}true{{ end -}}{{- end -}}
{{- end -}}

{{/* "true" where engines of `config` are scaled by the gateways. */}}
{{- define "penstock.config.scales" -}}
{{- range $_, $engine := (include "penstock.given" . | fromJson).engines | default dict -}}{{- if kindIs "map" (dig "autoscale" "kubernetes" "" $engine) }}true{{ end -}}{{- end -}}
{{- end -}}

{{/* "true" where gateways find each other: where engines are scaled, or sleep. A rolling update has two of one. */}}
{{- define "penstock.peers" -}}
{{- if or (include "penstock.autoscaled" .) (include "penstock.config.sleeps" .) (include "penstock.config.scales" .) }}true{{ end -}}
{{- end -}}

{{/* "true" where one of them, by a Lease, acts for all. */}}
{{- define "penstock.leads" -}}
{{- if and (include "penstock.peers" .) (has .Values.autoscaling.mode (list "none" "gateway")) }}true{{ end -}}
{{- end -}}

{{/* "true" where gateways have an admin port. */}}
{{- define "penstock.admin" -}}
{{- if or .Values.admin.enabled (include "penstock.peers" .) }}true{{ end -}}
{{- end -}}

{{/* What gateways need to act as one. */}}
{{- define "penstock.config.cluster" -}}
{{- if include "penstock.admin" . }}
admin: {listen: "0.0.0.0:{{ include "penstock.admin.port" . }}"}
{{- end }}
{{- if include "penstock.peers" . }}
peers:
  dns: {{ include "penstock.fullname" . }}-peers
  port: {{ include "penstock.admin.port" . }}
  key: "${file:/run/secrets/penstock/chart/peers-key}"
{{- if include "penstock.leads" . }}
autoscale:
  lease: {name: {{ include "penstock.fullname" . }}-autoscaler, namespace: {{ .Release.Namespace | quote }}}
{{- else if eq .Values.autoscaling.mode "keda" }}
autoscale:
  writer: keda
  keda: {listen: "0.0.0.0:{{ include "penstock.scaler.port" . }}"}
{{- else }}
autoscale: {writer: hpa}
{{- end }}
{{- end }}
{{- end -}}

{{/* Changes when, and only when, something changes that a running gateway cannot take: it reloads the rest by itself. */}}
{{- define "penstock.config.checksum" -}}
{{- $config := include "penstock.config" . | fromYaml -}}
{{- $server := omit $config.server "grace_s" "cors" "metrics" -}}
{{- toJson (merge (dict "server" $server) (pick $config "telemetry" "store" "data_dir" "admin" "peers") (dict "scaler" (dig "autoscale" "keda" "" $config))) | sha256sum -}}
{{- end -}}

{{/* Secrets as files below one directory: [{secret, key, path}] as JSON. */}}
{{- define "penstock.secret.files" -}}
{{- $root := . -}}
{{- $files := list -}}
{{- range $name, $from := .Values.secrets -}}
{{- $files = append $files (dict "secret" $from.secret "key" $from.key "path" $name) -}}
{{- end -}}
{{- with .Values.store.secret -}}
{{- $files = append $files (dict "secret" . "key" $root.Values.store.key "path" "chart/store-url") -}}
{{- end -}}
{{- range $name, $_ := include "penstock.engines" . | fromJson -}}
{{- $engine := include "penstock.engine" (dict "root" $root "name" $name) | fromJson -}}
{{- with $engine.apiKey.secret -}}
{{- $files = append $files (dict "secret" . "key" $engine.apiKey.key "path" (printf "chart/engine-%s" $name)) -}}
{{- end -}}
{{- end -}}
{{- if include "penstock.peers" . -}}
{{- $own := printf "%s-peers" (include "penstock.fullname" .) -}}
{{- $files = append $files (dict "secret" (.Values.peers.existingSecret | default $own) "key" "key" "path" "chart/peers-key") -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}
