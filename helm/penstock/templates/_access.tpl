{{/* Who the gateway is to the API server, and what it may: by name, and nothing where it asks for nothing. */}}
{{- define "penstock.discovers" -}}
{{- $root := . -}}
{{- range $name, $_ := include "penstock.engines" . | fromJson -}}
{{- if eq (include "penstock.engine" (dict "root" $root "name" $name) | fromJson).discovery "kubernetes" }}true{{ end -}}
{{- end -}}
{{- range $_, $place := include "penstock.places" . | fromJsonArray }}{{ if $place.service }}true{{ end }}{{ end -}}
{{- end -}}

{{/* Where engines of `config` are found in this namespace, as they say it, in JSON. Another one, and another API server, are
the reader's to grant. */}}
{{- define "penstock.places" -}}
{{- $root := . -}}
{{- $places := list -}}
{{- range $_, $engine := (include "penstock.given" . | fromJson).engines | default dict -}}
{{- $place := ($engine.discover | default dict).kubernetes | default dict -}}
{{- if and $place (not $place.api_url) (eq ($place.namespace | default $root.Release.Namespace) $root.Release.Namespace) -}}
{{- $places = append $places $place -}}
{{- end -}}
{{- end -}}
{{- toJson $places -}}
{{- end -}}

{{/* Those in another namespace of this cluster, in JSON, each with what is scaled there: the gateway asks as itself, and what it
may there is the reader's to grant. */}}
{{- define "penstock.abroad" -}}
{{- $root := . -}}
{{- $places := list -}}
{{- range $name, $engine := (include "penstock.given" . | fromJson).engines | default dict -}}
{{- $place := ($engine.discover | default dict).kubernetes | default dict -}}
{{- if and $place (not $place.api_url) (ne ($place.namespace | default $root.Release.Namespace) $root.Release.Namespace) -}}
{{- $places = append $places (dict "engine" $name "place" $place "workload" (dig "autoscale" "kubernetes" "" $engine)) -}}
{{- end -}}
{{- end -}}
{{- toJson $places -}}
{{- end -}}

{{/* Whether pods themselves are followed. */}}
{{- define "penstock.discovers.pods" -}}
{{- range $_, $place := include "penstock.places" . | fromJsonArray }}{{ if or $place.pool $place.labels }}true{{ end }}{{ end -}}
{{- end -}}

{{/* The names of the InferencePools among them, in JSON. */}}
{{- define "penstock.pools" -}}
{{- $pools := list -}}
{{- range $_, $place := include "penstock.places" . | fromJsonArray -}}
{{- if $place.pool }}{{ $pools = append $pools $place.pool }}{{ end -}}
{{- end -}}
{{- toJson ($pools | uniq | sortAlpha) -}}
{{- end -}}

{{/* What of them is scaled, in JSON: the gateways write it, and need the right to. */}}
{{- define "penstock.workloads" -}}
{{- $root := . -}}
{{- $workloads := list -}}
{{- range $_, $engine := (include "penstock.given" . | fromJson).engines | default dict -}}
{{- $place := dig "discover" "kubernetes" "" $engine -}}
{{- $workload := dig "autoscale" "kubernetes" "" $engine -}}
{{- if and (kindIs "map" $workload) (kindIs "map" $place) -}}
{{- if and (not $place.api_url) (eq ($place.namespace | default $root.Release.Namespace) $root.Release.Namespace) -}}
{{- $workloads = append $workloads $workload -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $workloads -}}
{{- end -}}

{{/* Whether it needs rights in its own namespace. */}}
{{- define "penstock.needs.rights" -}}
{{- if or (include "penstock.discovers" .) (include "penstock.discovers.pods" .) (include "penstock.leads" .) -}}true{{- end -}}
{{- end -}}

{{- define "penstock.gateway.account" -}}
{{- if or (include "penstock.needs.rights" .) (include "penstock.abroad" . | fromJsonArray) -}}{{ include "penstock.serviceAccount" . }}{{- end -}}
{{- end -}}
