# portkey-bridge over HTTP: one process, no rights, no writes. docs/serving.md says what to configure.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY portkey_bridge portkey_bridge
COPY specs specs
RUN python -m venv /opt/portkey-bridge \
    && /opt/portkey-bridge/bin/pip install --no-cache-dir --disable-pip-version-check '.[http,otel,redis]' \
    && /opt/portkey-bridge/bin/python -m compileall -q /opt/portkey-bridge/lib

FROM python:3.13-slim
COPY --from=build /opt/portkey-bridge /opt/portkey-bridge
ENV PATH=/opt/portkey-bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPEN_MCP_CACHE=0
WORKDIR /config
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["portkey-bridge"]
CMD ["serve", "--http", "0.0.0.0:8000"]
