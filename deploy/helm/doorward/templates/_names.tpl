{{- define "doorward.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "doorward.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "doorward.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "doorward.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "doorward.selector" -}}
app.kubernetes.io/name: {{ include "doorward.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "doorward.labels" -}}
{{ include "doorward.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "doorward.serviceAccount" -}}
{{- default (include "doorward.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* doorward.yaml: what is written in `config`, under what the chart decides. */}}
{{- define "doorward.config" -}}
{{- $listen := merge (dict "grpc" "0.0.0.0:50051" "auth" "0.0.0.0:8002" "status" "0.0.0.0:8100") (default (dict) .Values.config.listen) -}}
{{- $ours := dict "listen" $listen "data_dir" "/var/lib/doorward" "secret_file" (printf "/etc/doorward-secret/%s" .Values.secret.key) -}}
{{- toYaml (merge $ours .Values.config) -}}
{{- end -}}
