#!/bin/sh
# Sees to the image that `sam local` runs functions in. One that is there stays.
# Otherwise the public base image is pulled, of which SAM makes its own; where it
# can't be pulled, or with SAM_BASE_IMAGE=build, one of the emulator alone is
# built.
set -eu

rie=github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d
case $(go env GOARCH) in
arm64) arch=arm64 ;;
amd64) arch=x86_64 ;;
*) echo "base image: Lambda has no functions for $(go env GOARCH)" >&2; exit 1 ;;
esac
repository=public.ecr.aws/lambda/provided
base=$repository:al2023-$arch
local=$repository:al2023-rapid-$arch

if ! docker version >/dev/null 2>&1; then
	echo "base image: no Docker engine answers, and sam local needs one; make docker starts one on Debian, as root" >&2
	exit 1
fi
if [ "${SAM_BASE_IMAGE:-}" != build ]; then
	for image in "$local" "$base"; do
		if docker image inspect "$image" >/dev/null 2>&1; then
			echo "base image: $image is here"
			exit 0
		fi
	done
	echo "base image: pulling $base"
	if docker pull --quiet "$base"; then
		exit 0
	fi
fi
echo "base image: building $local of the emulator alone"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
GOBIN=$folder CGO_ENABLED=0 GOFLAGS= go install "$rie"
cp infra/sam/Dockerfile "$folder"
# The older builder, for it is in every engine.
DOCKER_BUILDKIT=0 docker build --quiet --tag "$local" "$folder"
