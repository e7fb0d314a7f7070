{{/* The engines there are, in JSON: one that a later file of values says null of is none. */}}
{{- define "penstock.engines" -}}
{{- $engines := dict -}}
{{- range $name, $engine := .Values.engines -}}
{{- if kindIs "map" $engine }}{{ $engines = set $engines $name $engine }}{{ end -}}
{{- end -}}
{{- toJson $engines -}}
{{- end -}}

{{/* One engine with its defaults, as JSON. Takes {root, name}. */}}
{{- define "penstock.engine" -}}
{{- toJson (mergeOverwrite (deepCopy .root.Values.engineDefaults) (deepCopy (get .root.Values.engines .name))) -}}
{{- end -}}

{{- define "penstock.engine.port" -}}8000{{- end -}}
{{/* Where vLLM publishes what it caches, and where what was missed is asked for again. */}}
{{- define "penstock.kv.port" -}}5557{{- end -}}
{{- define "penstock.kv.replay.port" -}}5558{{- end -}}

{{/* "true" where somebody else than this chart writes the replicas of engines. */}}
{{- define "penstock.autoscaled" -}}{{- if ne .Values.autoscaling.mode "none" }}true{{ end -}}{{- end -}}

{{/* "true" where replicas of an engine sleep, by its `autoscale` or its `config`. Takes an engine. */}}
{{- define "penstock.sleeps" -}}{{- if or (kindIs "map" .autoscale.sleep) (kindIs "map" (dig "autoscale" "sleep" "" .config)) }}true{{ end -}}{{- end -}}

{{/*
The replicas that a workload is rendered with. Where an autoscaler writes them: as many as there are, for that is no
change to anybody; none where there is no telling (a first install, `helm template`, Argo CD).
Takes {root, scaled, replicas, apiVersion, kind, name}.
*/}}
{{- define "penstock.replicas" -}}
{{- if not .scaled -}}
replicas: {{ .replicas }}
{{- else -}}
{{- $live := lookup .apiVersion .kind .root.Release.Namespace .name -}}
{{- if and $live (hasKey ($live.spec | default dict) "replicas") -}}
replicas: {{ int $live.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
How an HPA goes from one number to another: at once, for the algorithm has waited before it said so, and by any
difference, where Kubernetes lets that be said. Takes {root, most, downSeconds}.
*/}}
{{- define "penstock.behavior" -}}
{{- $exact := ternary ", tolerance: \"0\"" "" (semverCompare ">=1.35.0-0" .root.Capabilities.KubeVersion.Version) -}}
scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, policies: [{type: Pods, value: {{ max 1 .most }}, periodSeconds: 15}]{{ $exact }}}
scaleDown: {stabilizationWindowSeconds: {{ .downSeconds }}, selectPolicy: Max, policies: [{type: Percent, value: 100, periodSeconds: 15}]{{ $exact }}}
{{- end -}}

{{/* The pod of an engine. Takes {root, name, engine, worker (of a LeaderWorkerSet)}. */}}
{{- define "penstock.engine.template" -}}
{{- $e := .engine -}}
{{- $port := include "penstock.engine.port" . -}}
{{- $simulator := eq $e.kind "simulator" -}}
{{- $several := gt (int $e.nodes) 1 -}}
metadata:
  labels:
    {{- include "penstock.selector" (dict "root" .root "component" "engine" "engine" .name) | nindent 4 }}
    {{- range $key, $value := $e.podLabels }}
    {{ $key | quote }}: {{ $value | quote }}
    {{- end }}
  {{- with $e.podAnnotations }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key | quote }}: {{ $value | quote }}
    {{- end }}
  {{- end }}
spec:
  {{- include "penstock.pod" (dict "root" .root "user" (int $e.runAsUser) "account" "") | trim | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "penstock.graceSeconds" .root }}
  {{- include "penstock.placement" $e | nindent 2 }}
  containers:
    - name: engine
      {{- if $simulator }}
      image: {{ include "penstock.gateway.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: [penstock, simulate]
      {{- else }}
      image: {{ include "penstock.image" $e.image | quote }}
      imagePullPolicy: {{ $e.image.pullPolicy }}
      command: [vllm, serve]
      {{- end }}
      args:
        {{- include "penstock.engine.args" . | nindent 8 }}
      {{- include "penstock.container.security" (dict "readOnly" $e.readOnlyRootFilesystem) | nindent 6 }}
      {{- with include "penstock.engine.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      {{- if not .worker }}
      ports:
        - {name: http, containerPort: {{ $port }}}
        {{- if $e.kvEvents }}
        - {name: kv-events, containerPort: {{ include "penstock.kv.port" . }}}
        - {name: kv-replay, containerPort: {{ include "penstock.kv.replay.port" . }}}
        {{- end }}
      startupProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: {{ div (add (int $e.startup.maxSeconds) 9) 10 }}
      livenessProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- end }}
      {{- include "penstock.preStop" . | nindent 6 }}
      resources:
        {{- include "penstock.engine.resources" $e | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if not $simulator }}
        - {name: shm, mountPath: /dev/shm}
        - {name: cache, mountPath: /cache}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {}}
    {{- if not $simulator }}
    - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ $e.sharedMemory }}}}
    {{- if eq $e.cache.type "pvc" }}
    - {name: cache, persistentVolumeClaim: {claimName: {{ $e.cache.existingClaim | default (printf "%s-cache" (include "penstock.engine.name" .)) | quote }}}}
    {{- else }}
    - {name: cache, emptyDir: {sizeLimit: {{ $e.cache.size }}}}
    {{- end }}
    {{- end }}
{{- end -}}

{{- define "penstock.engine.args" -}}
{{- $e := .engine -}}
{{- if eq $e.kind "simulator" -}}
{{- $args := list "--host" "0.0.0.0" "--port" (include "penstock.engine.port" .) "--model" $e.model "--shutdown-timeout-s" (int .root.Values.drainSeconds | toString) -}}
{{- if $e.apiKey.secret }}{{- $args = concat $args (list "--api-key-env" "VLLM_API_KEY") }}{{- end -}}
{{- if include "penstock.sleeps" $e }}{{- $args = append $args "--sleep-mode" }}{{- end -}}
{{- toYaml (concat $args $e.args) -}}
{{- else -}}
{{- $args := list $e.model "--host" "0.0.0.0" "--port" (include "penstock.engine.port" .) "--shutdown-timeout" (int .root.Values.drainSeconds | toString) "--enable-prompt-tokens-details" -}}
{{- if $e.kvEvents -}}
{{- $events := dict "enable_kv_cache_events" true "publisher" "zmq" "endpoint" (printf "tcp://*:%s" (include "penstock.kv.port" .)) "replay_endpoint" (printf "tcp://*:%s" (include "penstock.kv.replay.port" .)) -}}
{{- $args = concat $args (list "--kv-events-config" (toJson $events)) -}}
{{- end -}}
{{- if include "penstock.sleeps" $e }}{{- $args = append $args "--enable-sleep-mode" }}{{- end -}}
{{- if gt (int $e.nodes) 1 -}}
{{- $args = concat $args (list "--nnodes" (int $e.nodes | toString) "--node-rank" "$(LWS_WORKER_INDEX)" "--master-addr" "$(LWS_LEADER_ADDRESS)") -}}
{{- if .worker }}{{- $args = append $args "--headless" }}{{- end -}}
{{- end -}}
{{- toYaml (concat $args $e.args) -}}
{{- end -}}
{{- end -}}

{{/* Everything that vLLM and its libraries write lies in the cache: the root is read-only, and the user has no home. */}}
{{- define "penstock.engine.env" -}}
{{- $e := .engine -}}
{{- with $e.apiKey.secret }}
{{- include "penstock.env" (dict "VLLM_API_KEY" (dict "secret" . "key" $e.apiKey.key)) }}
{{- end }}
{{- if eq $e.kind "vllm" }}
{{- with $e.huggingFaceToken.secret }}
{{- include "penstock.env" (dict "HF_TOKEN" (dict "secret" . "key" $e.huggingFaceToken.key)) }}
{{- end }}
{{- $own := dict "HOME" "/cache/home" "USER" "penstock" "HF_HOME" "/cache/huggingface" "VLLM_CACHE_ROOT" "/cache/vllm" "VLLM_CONFIG_ROOT" "/cache/vllm-config" "VLLM_NO_USAGE_STATS" "1" "TRITON_CACHE_DIR" "/cache/triton" "TORCHINDUCTOR_CACHE_DIR" "/cache/inductor" "FLASHINFER_WORKSPACE_BASE" "/cache" "XDG_CACHE_HOME" "/cache/xdg" }}
{{- if include "penstock.sleeps" $e }}{{- $_ := set $own "VLLM_SERVER_DEV_MODE" "1" }}{{- end }}
{{- include "penstock.env" (merge (deepCopy $e.env) $own) }}
{{- else }}
{{- include "penstock.env" $e.env }}
{{- end }}
{{- end -}}

{{/* GPUs are asked for in limits; the requests follow. */}}
{{- define "penstock.engine.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if and (eq .kind "vllm") (gt (int .gpus) 0) -}}
{{- $_ := set $resources "limits" (merge (dict .gpuResource (int .gpus | toString)) ($resources.limits | default dict)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
