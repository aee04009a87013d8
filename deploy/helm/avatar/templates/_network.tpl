{{/* Ports on which a mesh's proxy takes traffic in for the pod: Istio's ambient tunnel, Linkerd's inbound port, which
     replaces the original one between two meshed pods. Istio's side-car keeps the original port. */}}
{{- define "avatar.meshInbound" -}}
{{- if eq .Values.mesh "istio" -}}
- {port: 15008, protocol: TCP}
{{- else if eq .Values.mesh "linkerd" -}}
- {port: 4143, protocol: TCP}
{{- end -}}
{{- end -}}

{{/* Where Prometheus reads the proxy's own metrics. */}}
{{- define "avatar.meshMetrics" -}}
{{- if eq .Values.mesh "istio" -}}
- {port: 15008, protocol: TCP}
- {port: 15020, protocol: TCP}
- {port: 15090, protocol: TCP}
{{- else if eq .Values.mesh "linkerd" -}}
- {port: 4143, protocol: TCP}
- {port: 4191, protocol: TCP}
{{- end -}}
{{- end -}}

{{/* The proxy's way to its control plane. */}}
{{- define "avatar.meshControl" -}}
{{- if eq .Values.mesh "istio" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-system}}
  ports:
    - {port: 15012, protocol: TCP}
{{- else if eq .Values.mesh "linkerd" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: linkerd}}
  ports:
    - {port: 8080, protocol: TCP}
    - {port: 8086, protocol: TCP}
    - {port: 8090, protocol: TCP}
{{- end -}}
{{- end -}}

{{- define "avatar.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Triton and Redis call nobody; their proxies need DNS and their control plane. */}}
{{- define "avatar.proxyEgress" -}}
{{- if eq .Values.mesh "none" -}}
egress: []
{{- else -}}
egress:
  {{- include "avatar.dns" . | nindent 2 }}
  {{- include "avatar.meshControl" . | nindent 2 }}
{{- end -}}
{{- end -}}
