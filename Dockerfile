# One image for every role: the command decides whether it is a dispatcher, a worker or a load client.
FROM python:3.13-slim

RUN useradd --system --uid 10001 --user-group --home-dir /srv lrwp \
    && mkdir -p /srv && chown lrwp:lrwp /srv
WORKDIR /opt/lrwp

COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY dispatcher dispatcher
COPY worker worker
COPY lrwp lrwp
COPY apps apps
COPY configs configs
RUN pip install --no-cache-dir --no-deps .

USER 10001:10001
WORKDIR /srv
ENV PYTHONUNBUFFERED=1
EXPOSE 8080 8081 8082
ENTRYPOINT ["lrwp"]
CMD ["--help"]
