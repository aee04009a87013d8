# The gRPC service. Build from the repository's root:
#   docker build -f deploy/docker/service.Dockerfile -t avatar-service:0.1.0 .
# Not built where it was written, since no container runtime and no registry was at hand; a test checks what can be
# checked without them: that every source exists, and that the service starts with these packages alone, without torch.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/avatar/venv
ENV PATH=/opt/avatar/venv/bin:$PATH
COPY pyproject.toml deploy/docker/requirements.py ./
# First what others made: this layer is built again only where pyproject.toml has changed. Torch comes with the extra
# `inference` alone.
RUN python requirements.py pyproject.toml server > requirements.txt \
    && pip install --no-cache-dir --requirement requirements.txt
COPY README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY protos ./protos
COPY clients/python ./clients/python
COPY avatar_service ./avatar_service
COPY inference ./inference
# The wheel holds the contract, the client and the service.
RUN pip install --no-cache-dir --no-deps .

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10001 avatar && useradd --uid 10001 --gid avatar --no-create-home --home-dir /tmp avatar
COPY --from=build /opt/avatar/venv /opt/avatar/venv
COPY inference/assets/avatars /opt/avatar/avatars
ENV PATH=/opt/avatar/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AVATAR_AVATARS=/opt/avatar/avatars
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 50052 9464
# No shell between: signals reach the service, which drains at SIGTERM.
ENTRYPOINT ["avatar-service"]
CMD ["serve"]
