{{/* What the schema cannot say: each failure names the value and says what to do. */}}
{{- define "penstock.validate" -}}
{{- $root := . -}}
{{- $config := include "penstock.given" . | fromJson -}}
{{- if not $config.models -}}
{{- fail "\n\nconfig.models is empty: a gateway without models serves nothing. Add `-f presets/laptop.yaml` (of the chart) to try it with simulators, or write config.models: {chat: {targets: [{engine: NAME}]}}." -}}
{{- end -}}
{{- range $key := list "host" "port" "uds" "grace_s" -}}
{{- if hasKey ($config.server | default dict) $key -}}
{{- fail (printf "\n\nconfig.server.%s is set by the chart: leave it out; %s." $key (ternary "drainSeconds says how long streams get" "gateway.service says where clients find it" (eq $key "grace_s"))) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $config "data_dir" -}}
{{- fail "\n\nconfig.data_dir is set by the chart: leave it out; gateway.dataSize says how large it may grow." -}}
{{- end -}}
{{- range $key := list "admin" "peers" "autoscale" -}}
{{- if hasKey $config $key -}}
{{- fail (printf "\n\nconfig.%s is set by the chart: leave it out; autoscaling.mode decides." $key) -}}
{{- end -}}
{{- end -}}
{{- $auth := $config.auth | default dict -}}
{{- if and .Values.admin.metrics (not (include "penstock.admin" .)) -}}
{{- fail "\n\nadmin.metrics is true, and there is no admin port: add admin.enabled: true." -}}
{{- end -}}
{{- if and .Values.admin.metrics (hasKey ($config.server | default dict) "metrics") -}}
{{- fail "\n\nconfig.server.metrics and admin.metrics both say where /metrics is: leave out one of them." -}}
{{- end -}}
{{- if and .Values.admin.metrics .Values.monitoring.serviceMonitor.enabled (not .Values.monitoring.serviceMonitor.key.secret) -}}
{{- fail "\n\nmonitoring.serviceMonitor.key.secret is empty, and the admin port asks Prometheus for a key: name a Secret with one, whose hash is in config.auth.keys with `metrics: true`." -}}
{{- end -}}
{{- $admins := list -}}
{{- range $auth.keys | default list -}}{{- if .admin -}}{{- $admins = append $admins .id -}}{{- end -}}{{- end -}}
{{- if and .Values.admin.enabled (not (include "penstock.peers" .)) (not $admins) -}}
{{- fail "\n\nadmin.enabled is true, and none of config.auth.keys may use it: give one `admin: true`." -}}
{{- end -}}
{{- if not (or $auth.keys (eq ($auth.open | default false | toString) "true")) -}}
{{- fail "\n\nconfig.auth.keys is empty: anybody in the cluster could call. Write config.auth: {keys: [{id: my-app, sha256: ...}]} (printf %s \"$KEY\" | sha256sum), or config.auth: {open: true} where that is meant." -}}
{{- end -}}
{{- if and .Values.store.secret (hasKey ($config.store | default dict) "url") -}}
{{- fail "\n\nstore.secret and config.store.url both say where records go: leave out one of them." -}}
{{- end -}}
{{- $gatewayCount := ternary (int .Values.gateway.autoscaling.max) (int .Values.gateway.replicas) .Values.gateway.autoscaling.enabled -}}
{{- if lt (int .Values.gateway.autoscaling.max) (int .Values.gateway.autoscaling.min) -}}
{{- fail "\n\ngateway.autoscaling.max is less than gateway.autoscaling.min: raise it." -}}
{{- end -}}
{{- $shared := or .Values.store.secret (hasPrefix "postgres" (dig "store" "url" "" $config | toString)) (contains "${" (dig "store" "url" "" $config | toString)) -}}
{{- $known := keys ($config.engines | default dict) (include "penstock.engines" . | fromJson) -}}
{{- range $name, $model := $config.models -}}
{{- $targets := $model.targets | default list -}}
{{- $experiment := $model.experiment | default dict -}}
{{- range $_, $arm := $experiment.arms | default dict -}}{{- $targets = concat $targets ($arm.targets | default list) -}}{{- end -}}
{{- range $targets -}}
{{- if not (has .engine $known) -}}
{{- fail (printf "\n\nconfig.models.%s names the engine %q, which is neither in engines nor in config.engines; there is: %s." $name (.engine | toString) (join ", " (sortAlpha $known) | default "none")) -}}
{{- end -}}
{{- end -}}
{{- if and $experiment.steps (gt $gatewayCount 1) (not $shared) -}}
{{- fail (printf "\n\nconfig.models.%s.experiment has steps, and %d gateways would each judge them by their own records: set store.secret to a PostgreSQL they share, or gateway.replicas: 1." $name $gatewayCount) -}}
{{- end -}}
{{- end -}}
{{- if and (include "penstock.config.sleeps" .) (has .Values.autoscaling.mode (list "keda" "hpa")) -}}
{{- range $name, $engine := $config.engines -}}
{{- if kindIs "map" (dig "autoscale" "sleep" "" $engine) -}}
{{- fail (printf "\n\nconfig.engines.%s.autoscale.sleep needs the gateways to act, and autoscaling.mode is %s: write autoscaling.mode gateway or none, or leave sleep out." $name $root.Values.autoscaling.mode) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "penstock.config.scales" .) (has .Values.autoscaling.mode (list "keda" "hpa")) -}}
{{- range $name, $engine := $config.engines -}}
{{- if kindIs "map" (dig "autoscale" "kubernetes" "" $engine) -}}
{{- fail (printf "\n\nconfig.engines.%s.autoscale.kubernetes has the gateways write replicas, and autoscaling.mode is %s: write autoscaling.mode gateway or none, or leave kubernetes out and have %s scale it." $name $root.Values.autoscaling.mode (ternary "KEDA" "an HPA" (eq $root.Values.autoscaling.mode "keda"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := include "penstock.engines" . | fromJson -}}
{{- include "penstock.validate.engine" (dict "root" $root "name" $name "engine" (include "penstock.engine" (dict "root" $root "name" $name) | fromJson)) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "\n\ningress.hosts is empty: name the host that clients call, ingress.hosts: [llm.example.com]." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "\n\nhttpRoute.parentRefs is empty: name the Gateway it belongs to, httpRoute.parentRefs: [{name: GATEWAY, namespace: NAMESPACE}]." -}}
{{- end -}}
{{- end -}}

{{- define "penstock.validate.engine" -}}
{{- $e := .engine -}}
{{- $at := printf "\n\nengines.%s" .name -}}
{{- $scaled := include "penstock.autoscaled" .root -}}
{{- if not $e.model -}}
{{- fail (printf "%s.model is empty: name what it serves, such as meta-llama/Llama-3.1-8B-Instruct." $at) -}}
{{- end -}}
{{- if hasKey ((include "penstock.given" .root | fromJson).engines | default dict) .name -}}
{{- fail (printf "%s is in config.engines too: keep one of them; what the configuration says besides goes into engines.%s.config." $at .name) -}}
{{- end -}}
{{- range $key := list "kind" "replicas" "launch" "discover" "api_key" -}}
{{- if hasKey $e.config $key -}}
{{- fail (printf "%s.config.%s is set by the chart: leave it out%s." $at $key (ternary "; apiKey.secret names the Secret" "" (eq $key "api_key"))) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int $e.nodes) 1) (ne $e.workload "LeaderWorkerSet") -}}
{{- fail (printf "%s.nodes is %d: a replica of several nodes needs workload: LeaderWorkerSet." $at (int $e.nodes)) -}}
{{- end -}}
{{- if and (hasKey $e.config "autoscale") (not $scaled) -}}
{{- fail (printf "%s.config.autoscale is for servers that a gateway launches, not for those of a cluster: leave it out, and write %s.replicas." $at (trimPrefix "\n\n" $at)) -}}
{{- end -}}
{{- if and (eq $e.workload "LeaderWorkerSet") (hasKey (include "penstock.engines" .root | fromJson) (printf "%s-leader" .name)) -}}
{{- fail (printf "%s-leader is the name of the Service of engines.%s too, a LeaderWorkerSet: rename one of them." $at .name) -}}
{{- end -}}
{{- if and (eq $e.kind "simulator") (eq $e.workload "LeaderWorkerSet") -}}
{{- fail (printf "%s.workload is LeaderWorkerSet: a simulator is one process; leave it out." $at) -}}
{{- end -}}
{{- $most := ternary (int $e.autoscale.max) (int $e.replicas) (ne $scaled "") -}}
{{- if and (eq $e.kind "vllm") (eq $e.cache.type "pvc") (ne $e.cache.accessMode "ReadWriteMany") (or (gt $most 1) (gt (int $e.nodes) 1)) -}}
{{- fail (printf "%s.cache is a %s volume, which one node holds, and up to %d replicas of %d nodes want it: use cache: {type: pvc, accessMode: ReadWriteMany}, or cache: {type: emptyDir}." $at $e.cache.accessMode $most (int $e.nodes)) -}}
{{- end -}}
{{- if and $e.kvEvents (eq $e.kind "simulator") -}}
{{- fail (printf "%s.kvEvents is true: a simulator publishes none; leave it out." $at) -}}
{{- end -}}
{{- if and (eq .root.Values.autoscaling.mode "gateway") (ne $e.discovery "kubernetes") -}}
{{- fail (printf "%s.discovery is %s: a gateway that scales pods must know them by name; write discovery: kubernetes." $at $e.discovery) -}}
{{- end -}}
{{- if hasKey ($e.config.autoscale | default dict) "kubernetes" -}}
{{- fail (printf "%s.config.autoscale.kubernetes is set by the chart: leave it out; autoscaling.podDeletionCost, drainSeconds and engines.%s.startup decide." $at .name) -}}
{{- end -}}
{{- if include "penstock.sleeps" $e -}}
{{- if ne .root.Values.autoscaling.mode "gateway" -}}
{{- fail (printf "%s.autoscale.sleep needs the gateways to write the replicas, and autoscaling.mode is %s: write autoscaling.mode: gateway, or leave sleep out." $at .root.Values.autoscaling.mode) -}}
{{- end -}}
{{- $sleep := mergeOverwrite (deepCopy (dig "autoscale" "sleep" dict $e.config)) ($e.autoscale.sleep | default dict) -}}
{{- if and (hasKey $sleep "most") (or (ne $e.workload "Deployment") (not .root.Values.autoscaling.podDeletionCost)) -}}
{{- fail (printf "%s.autoscale.sleep.most needs somebody to choose who is stopped: set autoscaling.podDeletionCost: true, with workload: Deployment, or leave most out." $at) -}}
{{- end -}}
{{- end -}}
{{- if and $scaled (lt (int $e.autoscale.max) (int $e.autoscale.min)) -}}
{{- fail (printf "%s.autoscale.max is less than min: raise it." $at) -}}
{{- end -}}
{{- if and $scaled (lt (int $e.autoscale.max) 1) -}}
{{- fail (printf "%s.autoscale.max is 0: it could never run; write how many replicas there may be." $at) -}}
{{- end -}}
{{- if and (eq .root.Values.autoscaling.mode "hpa") (lt (int $e.autoscale.min) 1) -}}
{{- fail (printf "%s.autoscale.min is 0, and an HPA keeps at least 1: write min: 1, or autoscaling.mode gateway or keda." $at) -}}
{{- end -}}
{{- end -}}
