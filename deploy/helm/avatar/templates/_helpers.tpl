{{- define "avatar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "avatar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "avatar.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "avatar.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which a part's pods are found. Takes (list . "part"). */}}
{{- define "avatar.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "avatar.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of a part. Takes (list . "part"). */}}
{{- define "avatar.labels" -}}
{{- $root := index . 0 -}}
{{ include "avatar.selector" . }}
app.kubernetes.io/part-of: avatar
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* An image with its tag. Takes (list . image). */}}
{{- define "avatar.image" -}}
{{- $image := index . 1 -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}

{{- define "avatar.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "avatar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "avatar.tritonAddress" -}}
{{- if .Values.triton.enabled -}}
{{- /* Headless: the service balances its requests over all addresses by itself. In a mesh the proxy does that. */ -}}
{{ include "avatar.fullname" . }}-triton{{ if eq .Values.mesh "none" }}-headless{{ end }}:8001
{{- else -}}
{{ required "triton.address: HOST:PORT of your Triton is needed where triton.enabled is false" .Values.triton.address }}
{{- end -}}
{{- end -}}

{{- define "avatar.uploadsClaim" -}}
{{ .Values.uploads.existingClaim | default (printf "%s-uploads" (include "avatar.fullname" .)) }}
{{- end -}}

{{/* Labels and annotations by which a mesh takes a pod in. */}}
{{- define "avatar.meshLabels" -}}
{{- if eq .Values.mesh "istio" }}
sidecar.istio.io/inject: "true"
{{- end }}
{{- end -}}

{{/* The proxy starts before the container and ends after it: a native sidecar. */}}
{{- define "avatar.meshAnnotations" -}}
{{- if eq .Values.mesh "istio" }}
sidecar.istio.io/nativeSidecar: "true"
proxy.istio.io/config: |
  terminationDrainDuration: {{ add .Values.service.preStopS .Values.service.stopGraceS 5 }}s
{{- else if eq .Values.mesh "linkerd" }}
linkerd.io/inject: enabled
config.beta.linkerd.io/proxy-enable-native-sidecar: "true"
config.linkerd.io/shutdown-grace-period: {{ add .Values.service.preStopS .Values.service.stopGraceS 5 }}s
{{- end }}
{{- end -}}

{{/* Stops what cannot work before it is installed. */}}
{{- define "avatar.check" -}}
{{- $access := .Values.access -}}
{{- if not (or $access.open $access.apiKeys.existingSecret $access.jwt.jwks .Values.tls.clientCA $access.trustedProxies) -}}
{{- fail "access: nobody could call. Set access.apiKeys.existingSecret, access.jwt.jwks, tls.clientCA or access.trustedProxies, or access.open=true to let anybody in" -}}
{{- end -}}
{{- if and .Values.tls.clientCA (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCA: names a key of tls.existingSecret, which is empty" -}}
{{- end -}}
{{- if and $access.jwt.jwks (not (and $access.jwt.issuer $access.jwt.audience)) -}}
{{- fail "access.jwt: issuer and audience are needed beside jwks" -}}
{{- end -}}
{{- $addresses := list -}}
{{- range $access.trustedProxies -}}
{{- if regexMatch "^[0-9a-fA-F.:]+(/[0-9]+)?$" . -}}
{{- $addresses = append $addresses . -}}
{{- end -}}
{{- end -}}
{{- if and $access.trustedProxies (not $addresses) (not .Values.tls.clientCA) -}}
{{- fail (printf "access.trustedProxies: %s is a name, which only a certificate shows: set tls.clientCA, or give the proxy's address" (first $access.trustedProxies)) -}}
{{- end -}}
{{- /* Kubernetes may refuse a variable that stands there twice, or takes the last one against the ports of the probes. */ -}}
{{- $names := list -}}
{{- range include "avatar.serviceEnv" . | fromYamlArray -}}
{{- if has .name $names -}}
{{- fail (printf "service.settings, service.env: %s is set twice; what the chart sets has a value of its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if and (eq .Values.redis.mode "external") (not .Values.redis.external.existingSecret) -}}
{{- fail "redis.external.existingSecret: the secret with the URL is needed where redis.mode is external" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (ge (int .Values.autoscaling.sessionsPerPod) (int .Values.service.maxSessions)) -}}
{{- fail "autoscaling.sessionsPerPod: must be below service.maxSessions, or pods are full before another one starts" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas: is above maxReplicas" -}}
{{- end -}}
{{- end -}}

{{/* Folders of avatars for Triton, beside which it knows those of its image. */}}
{{- define "avatar.tritonAvatars" -}}
{{- $own := ternary "/srv/avatars" "/opt/avatar/avatars" (ne .Values.avatars.existingClaim "") -}}
{{ $own }}{{ if .Values.uploads.enabled }}:/srv/uploads{{ end }}
{{- end -}}
