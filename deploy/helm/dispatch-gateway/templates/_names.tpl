{{/*
The name of all objects, that of the Service included.

Kubernetes gives every pod of a namespace variables named after its Services.
A Service called pyro-lab makes PYRO_LAB_SERVICE_HOST and the like, and Pyro5
dies at import of PYRO_ variables that it does not know. So no name begins with
pyro, whatever the release is called: the chart's name comes first then. It
does so too where the release's name begins with a digit, which Services do not
allow; neither do they allow its dots.
*/}}
{{- define "dispatch-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
  {{- if hasPrefix "pyro" .Values.fullnameOverride -}}
    {{- fail (printf "fullnameOverride: a Service named %q would kill every Pyro5 process of its namespace at import, by its PYRO_ variables: choose a name that does not begin with pyro" .Values.fullnameOverride) -}}
  {{- end -}}
  {{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
  {{- $name := default .Chart.Name .Values.nameOverride -}}
  {{- $full := printf "%s-%s" .Release.Name $name -}}
  {{- if contains $name .Release.Name -}}{{- $full = .Release.Name -}}{{- end -}}
  {{- if or (hasPrefix "pyro" $full) (not (regexMatch "^[a-z]" $full)) -}}
    {{- $full = printf "dispatch-gateway-%s" .Release.Name -}}
  {{- end -}}
  {{- $full | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that pods are selected by, which no upgrade may change. */}}
{{- define "dispatch-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of all objects. */}}
{{- define "dispatch-gateway.labels" -}}
{{ include "dispatch-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pyro-dispatch
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dispatch-gateway.serviceAccountName" -}}
{{- $default := ternary (include "dispatch-gateway.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{- define "dispatch-gateway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret that holds Consul's token; empty where there is none. */}}
{{- define "dispatch-gateway.tokenSecret" -}}
{{- with .Values.consul.token -}}
{{- if .existingSecret -}}
{{ .existingSecret }}
{{- else if .value -}}
{{ include "dispatch-gateway.fullname" $ }}-consul
{{- end -}}
{{- end -}}
{{- end -}}
