# docker build -t streammac . && docker run --rm streammac demo --for 30 --no-ui
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streammac streammac
COPY workers workers
COPY ingest ingest
RUN python -m venv /opt/streammac && /opt/streammac/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --uid 10001 --user-group --create-home streammac && install -d -o streammac -g streammac /data /var/cache/streammac
COPY --from=build /opt/streammac /opt/streammac
# one thread per process; compiled kernels are kept where they can be written, for each processor its own
ENV PATH=/opt/streammac/bin:$PATH OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/var/cache/streammac PYTHONUNBUFFERED=1
USER 10001:10001
RUN python -m streammac.models
WORKDIR /data
VOLUME /data
ENTRYPOINT ["streammac"]
CMD ["--help"]
