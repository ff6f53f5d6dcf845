#!/bin/sh
# The plain manifests: what the chart makes with its own values, without Helm's marks.
#
#   deploy/kubernetes/manifests.sh RENDER   RENDER prints what `helm template` would
set -eu
cat <<'HEAD'
# Doorward in the namespace `doorward`, over a Redis: what the chart in deploy/helm makes (`make manifests`), for those
# who have no Helm. docs/kubernetes.md says what to change: the settings in the ConfigMap, and the image.
HEAD
echo '{"secret": {"existingSecret": "doorward-secret"}}' | "$1" deploy/helm/doorward | grep -v 'managed-by: Helm'
