{{/*
The file pyro-dispatch.yaml: the values under config, and what only the chart
can know. The dispatcher checks it when it starts; here is refused only what
the chart itself would break on.
*/}}
{{- define "dispatch-gateway.config" -}}
{{- include "dispatch-gateway.check" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $admin := deepCopy (default dict $config.admin) -}}
{{- $_ := set $admin "address" (printf ":%d" (int .Values.admin.port)) -}}
{{- $_ := set $config "admin" $admin -}}
{{- $limits := deepCopy (default dict $config.limits) -}}
{{- if not $limits.spill_dir -}}
  {{- $_ := set $limits "spill_dir" "/var/spool/pyro-dispatch" -}}
  {{- $_ := set $config "limits" $limits -}}
{{- end -}}
{{- if .Values.consul.address -}}
  {{- $consul := deepCopy (default dict $config.consul) -}}
  {{- $_ := set $consul "address" .Values.consul.address -}}
  {{- if include "dispatch-gateway.tokenSecret" . -}}
    {{- $_ := set $consul "token_file" "/run/secrets/consul/token" -}}
  {{- end -}}
  {{- $_ := set $config "consul" $consul -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Refuses values that contradict each other, or would give a secret away. */}}
{{- define "dispatch-gateway.check" -}}
{{- $config := .Values.config -}}
{{- $consul := default dict $config.consul -}}
{{- if and (not $config.clusters) (not (default dict $consul.discover).tag) -}}
  {{- fail "config.clusters: name the daemons that the gateway is for, and a route to them in config.routes" -}}
{{- end -}}
{{- if hasKey (default dict $config.admin) "address" -}}
  {{- fail "config.admin.address: the chart sets it, from admin.port" -}}
{{- end -}}
{{- if $consul.address -}}
  {{- fail "config.consul.address: give it as consul.address" -}}
{{- end -}}
{{- if $consul.token -}}
  {{- fail "config.consul.token: a ConfigMap is no place for a secret: use consul.token.existingSecret" -}}
{{- end -}}
{{- with .Values.consul -}}
  {{- if and .token.value .token.existingSecret -}}
    {{- fail "consul.token: give value or existingSecret, not both" -}}
  {{- end -}}
  {{- if and (or .token.value .token.existingSecret) (not .address) -}}
    {{- fail "consul.token: without consul.address nothing uses it" -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/*
The ports that clients can reach, as {"ports": […]} in JSON: one for each
listener that is not a Unix socket and not on loopback.
*/}}
{{- define "dispatch-gateway.ports" -}}
{{- $ports := list -}}
{{- $seen := dict (toString .Values.admin.port) "the admin server" -}}
{{- $given := deepCopy .Values.service.ports -}}
{{- range .Values.config.listeners -}}
  {{- $name := default .address .name -}}
  {{- if not (regexMatch "^(unix:|localhost:|127\\.|\\[::1\\]:)" .address) -}}
    {{- $port := regexFind "[0-9]+$" .address | int -}}
    {{- if lt $port 1024 -}}
      {{- fail (printf "config.listeners: %s: %q: the container has no privileges, so its port must be 1024 or more; service.ports can give the Service another" $name .address) -}}
    {{- end -}}
    {{- if hasKey $seen (toString $port) -}}
      {{- fail (printf "config.listeners: %s: port %d belongs to %s" $name $port (get $seen (toString $port))) -}}
    {{- end -}}
    {{- $_ := set $seen (toString $port) $name -}}
    {{- $own := default dict (get $given $name) -}}
    {{- $given = omit $given $name -}}
    {{- $ports = append $ports (dict "name" (printf "tcp-%d" $port) "port" $port "servicePort" (default $port $own.port) "nodePort" (default 0 $own.nodePort)) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $_ := $given -}}
  {{- fail (printf "service.ports: no listener that clients can reach is called %q" $name) -}}
{{- end -}}
{{- if not $ports -}}
  {{- fail "config.listeners: none can be reached from outside the pod" -}}
{{- end -}}
{{- dict "ports" $ports | toJson -}}
{{- end -}}

{{/* A duration such as 1h30m in whole seconds, rounded up. */}}
{{- define "dispatch-gateway.seconds" -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^(0|([0-9]+(\\.[0-9]+)?(h|m|s|ms))+)$" $text) -}}
  {{- fail (printf "config.drain_timeout: %q is not a duration such as 30s or 1m30s" $text) -}}
{{- end -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-z]+" $text -1 -}}
  {{- $number := regexFind "^[0-9.]+" . | float64 -}}
  {{- $seconds = addf $seconds (mulf $number (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{/* When Kubernetes may kill a pod: not while it still drains. */}}
{{- define "dispatch-gateway.gracePeriod" -}}
{{- $drain := include "dispatch-gateway.seconds" (default "30s" .Values.config.drain_timeout) | int -}}
{{- $needed := add $drain (int .Values.preStopSleepSeconds) -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
  {{- add $needed 10 -}}
{{- else if le (int64 $given) $needed -}}
  {{- fail (printf "terminationGracePeriodSeconds: must be more than %d, which is config.drain_timeout and preStopSleepSeconds: else the calls in flight are killed" $needed) -}}
{{- else -}}
  {{- int $given -}}
{{- end -}}
{{- end -}}
