# One image for every role: the command says whether it is a dispatcher, a worker or a load client.
FROM python:3.13-slim

RUN useradd --system --uid 10001 --user-group --home-dir /srv lrwp
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
# Built with the setuptools of the lock file, so that the same sources make the same image.
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER 10001:10001
WORKDIR /srv
ENV PYTHONUNBUFFERED=1
EXPOSE 8080 8081
ENTRYPOINT ["lrwp"]
CMD ["--help"]
