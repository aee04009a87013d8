{{/* Variables of the service: every name is one of docs/settings.md. */}}
{{- define "avatar.serviceEnv" -}}
{{- $service := .Values.service -}}
{{- $access := .Values.access -}}
- {name: AVATAR_LISTEN, value: "0.0.0.0:{{ $service.port }}"}
- {name: AVATAR_HEALTH_LISTEN, value: "0.0.0.0:50052"}
- {name: AVATAR_METRICS_LISTEN, value: "0.0.0.0:9464"}
- {name: AVATAR_LOG_FORMAT, value: json}
- {name: AVATAR_MAX_SESSIONS, value: {{ $service.maxSessions | quote }}}
{{- with $service.sessionsPerTenant }}
- {name: AVATAR_SESSIONS_PER_TENANT, value: {{ . | quote }}}
{{- end }}
- {name: AVATAR_STOP_GRACE_S, value: {{ $service.stopGraceS | quote }}}
- {name: AVATAR_TRITON_ADDRESS, value: {{ include "avatar.tritonAddress" . | quote }}}
- {name: AVATAR_TRITON_START_S, value: {{ .Values.triton.startS | quote }}}
{{- if .Values.avatars.existingClaim }}
- {name: AVATAR_AVATARS, value: /srv/avatars}
{{- end }}
{{- with .Values.avatars.default }}
- {name: AVATAR_DEFAULT_AVATAR, value: {{ . | quote }}}
{{- end }}
{{- if .Values.uploads.enabled }}
- {name: AVATAR_STORE, value: /srv/uploads}
{{- end }}
{{- if eq .Values.redis.mode "incluster" }}
- {name: AVATAR_REDIS_URL, value: "redis://{{ include "avatar.fullname" . }}-redis:6379/0"}
{{- else if eq .Values.redis.mode "external" }}
- name: AVATAR_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.redis.external.existingSecret }}, key: {{ .Values.redis.external.key }}}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: AVATAR_TLS_CERT, value: /etc/avatar/tls/tls.crt}
- {name: AVATAR_TLS_KEY, value: /etc/avatar/tls/tls.key}
{{- with .Values.tls.clientCA }}
- {name: AVATAR_TLS_CLIENT_CA, value: /etc/avatar/tls/{{ . }}}
{{- end }}
{{- end }}
{{- if $access.apiKeys.existingSecret }}
- {name: AVATAR_API_KEYS, value: /etc/avatar/api-keys/{{ $access.apiKeys.key }}}
{{- end }}
{{- with $access.jwt }}
{{- if .jwks }}
- {name: AVATAR_JWKS, value: {{ .jwks | quote }}}
- {name: AVATAR_JWT_ISSUER, value: {{ .issuer | quote }}}
- {name: AVATAR_JWT_AUDIENCE, value: {{ .audience | quote }}}
{{- with .tenantClaim }}
- {name: AVATAR_JWT_TENANT_CLAIM, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- with $access.trustedProxies }}
- {name: AVATAR_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- if $access.open }}
- {name: AVATAR_OPEN_ACCESS, value: "true"}
{{- end }}
{{- with .Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
# Which pod a span comes from.
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.pod.name=$(POD_NAME),k8s.namespace.name={{ .Release.Namespace }}"}
{{- range $name, $value := $service.settings }}
{{- /* A number of YAML is a float here, and a large one would be written with an exponent. */}}
{{- $whole := and (kindIs "float64" $value) (eq (floor $value) $value) }}
- {name: {{ $name }}, value: {{ ternary (printf "%.0f" $value) (toString $value) $whole | quote }}}
{{- end }}
{{- with $service.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where avatars lie, in service and Triton alike. Takes (list . readOnly). */}}
{{- define "avatar.avatarMounts" -}}
{{- $values := (index . 0).Values -}}
{{- if $values.avatars.existingClaim }}
- {name: avatars, mountPath: /srv/avatars, readOnly: true{{ with $values.avatars.subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
{{- if $values.uploads.enabled }}
- {name: uploads, mountPath: /srv/uploads, readOnly: {{ index . 1 }}}
{{- end }}
{{- end -}}

{{- define "avatar.avatarVolumes" -}}
{{- with .Values.avatars.existingClaim }}
- name: avatars
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- if .Values.uploads.enabled }}
- name: uploads
  persistentVolumeClaim: {claimName: {{ include "avatar.uploadsClaim" . }}}
{{- end }}
{{- end -}}
