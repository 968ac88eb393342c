# docker build -t pcs-gateway .
# docker run --rm -p 127.0.0.1:8080:8080 -e PCS_URL=http://pcs:8000 pcs-gateway
# docker run --rm -it -p 127.0.0.1:8080:8080 pcs-gateway demo
# docker run --rm -p 8080:8080 -v ./gateway.yaml:/etc/pcs-gateway/gateway.yaml:ro pcs-gateway
# docs/deployment.md tells more; tests/integration/test_dockerfile.py carries out every line below.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build \
    && python -m venv /opt/pcs-gateway \
    && /opt/build/bin/pip install --quiet --require-hashes -r requirements-build.lock \
    && /opt/pcs-gateway/bin/pip install --quiet --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY pcs_gateway ./pcs_gateway
RUN /opt/build/bin/python -m flit_core.wheel \
    && /opt/pcs-gateway/bin/pip install --quiet --no-index --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
COPY --from=build /opt/pcs-gateway /opt/pcs-gateway
COPY deploy/docker/gateway.yaml /etc/pcs-gateway/gateway.yaml
COPY deploy/docker/entrypoint deploy/docker/healthcheck /opt/pcs-gateway/bin/
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/pcs-gateway
ENV PATH=/opt/pcs-gateway/bin:$PATH PYTHONUNBUFFERED=1
# The default state directory, var/lib/pcs-gateway, is relative: from here it is the one made above.
WORKDIR /
USER 10001:10001
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/opt/pcs-gateway/bin/healthcheck"]
ENTRYPOINT ["/opt/pcs-gateway/bin/entrypoint"]
CMD ["serve", "--config", "/etc/pcs-gateway/gateway.yaml"]
