# Trains on the CPU; runs are kept in the volume /logdir, which is ~/logdir:
#   docker build -t dreamerv2 .
#   docker run --rm -v dreamerv2-logdir:/logdir dreamerv2 --configs highway_kinematics
# For an NVIDIA GPU:
#   docker build -t dreamerv2 --build-arg EXTRA='tensorflow[and-cuda]>=2.21,<2.22' .
#   docker run --rm --gpus all -v dreamerv2-logdir:/logdir dreamerv2 --configs highway
FROM python:3.11-slim AS build
ARG EXTRA=''
RUN python -m venv /opt/venv
COPY pyproject.toml setup.py README.md LICENSE MANIFEST.in configs.yaml /src/
COPY dreamerv2_tf /src/dreamerv2_tf
COPY results /src/results
RUN /opt/venv/bin/pip install --no-cache-dir /src ${EXTRA:+"$EXTRA"}

FROM python:3.11-slim
COPY --from=build /opt/venv /opt/venv
# A new volume takes over the owner of the folder.
RUN useradd --create-home --uid 1000 dreamer \
    && mkdir /logdir && chown dreamer /logdir \
    && ln -s /logdir /home/dreamer/logdir
USER dreamer
WORKDIR /logdir
VOLUME /logdir
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
# SIGTERM of `docker stop` saves the run; a gradient step may take a while.
STOPSIGNAL SIGTERM
ENTRYPOINT ["dreamerv2"]
CMD ["help"]
