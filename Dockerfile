# One image for all stores. Nothing runs as root, and the root file system may be read-only: what is written goes to
# /data (the SQLite store, ticketfeed.toml is read from there), /var/tmp (pages that are kept) and /tmp.
#
#     docker build -t ticketfeed .
#     docker run --read-only --tmpfs /tmp -v feed:/data -p 127.0.0.1:8080:8080 ticketfeed
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/ticketfeed \
    && /opt/ticketfeed/bin/pip install --no-cache-dir --disable-pip-version-check '.[all]'

FROM python:3.13-slim
RUN groupadd --gid 10001 ticketfeed \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin ticketfeed \
    && install --directory --owner=ticketfeed --group=ticketfeed /data
COPY --from=build /opt/ticketfeed /opt/ticketfeed
ENV PATH=/opt/ticketfeed/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TICKETFEED_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/var/tmp"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["ticketfeed", "ready"]
ENTRYPOINT ["ticketfeed"]
CMD ["serve"]
