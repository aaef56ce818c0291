# normvol as a container.
#   docker build --target slim -t normvol:slim .     ingest FreeSurfer output (no recon-all inside)
#   docker build --target full -t normvol:full .     with FreeSurfer 7.4.1, licence given at run time
#   docker run --rm -v BIDS:/data:ro -v OUT:/out normvol:slim /data /out participant

FROM python:3.11-slim AS build
RUN python -m venv /opt/normvol
# Dependencies in a layer of their own: a change of the code does not install them again.
COPY pyproject.toml setup.cfg README.md LICENSE /src/
COPY docs/package-index.md /src/docs/
COPY bids_app/__init__.py /src/bids_app/
RUN /opt/normvol/bin/pip install --no-cache-dir /src
COPY bids_app /src/bids_app
RUN /opt/normvol/bin/pip install --no-cache-dir --no-deps --force-reinstall /src
RUN /opt/normvol/bin/python -m compileall -q /opt/normvol/lib

# Templates are optional: what cannot be fetched at build time is replaced by the packaged drawing.
FROM build AS templates
COPY scripts/fetch_templates.py /src/scripts/
RUN mkdir -p /opt/templateflow \
 && TEMPLATEFLOW_HOME=/opt/templateflow /opt/normvol/bin/python /src/scripts/fetch_templates.py

FROM python:3.11-slim AS slim
LABEL org.opencontainers.image.title="normvol" \
      org.opencontainers.image.description="Normative volumetry of FreeSurfer brain volumes, as a BIDS-App. For research use only." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/normvol /opt/normvol
COPY --from=templates /opt/templateflow /opt/templateflow
RUN for tool in normvol normvol-model normvol-demo normvol-plot; do ln -s /opt/normvol/bin/$tool /usr/local/bin/$tool; done \
 && normvol --version
ENV PATH=/opt/normvol/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    NO_ET=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=off
ENTRYPOINT ["/opt/normvol/bin/normvol"]

# The real recon-all: normvol calls
#   recon-all -sd OUT/sourcedata/freesurfer -s sub-X[_ses-Y] -i T1w.nii.gz [-i ...] -all -parallel -openmp N
FROM freesurfer/freesurfer:7.4.1 AS freesurfer

FROM slim AS full
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends bc gawk hostname libgomp1 libglu1-mesa libx11-6 libxmu6 perl procps tcsh time \
 && rm -rf /var/lib/apt/lists/*
COPY --from=freesurfer /usr/local/freesurfer /opt/freesurfer
ENV FREESURFER_HOME=/opt/freesurfer \
    FS_OVERRIDE=0 \
    FSFAST_HOME=/opt/freesurfer/fsfast \
    MNI_DIR=/opt/freesurfer/mni \
    MINC_BIN_DIR=/opt/freesurfer/mni/bin \
    MINC_LIB_DIR=/opt/freesurfer/mni/lib \
    PERL5LIB=/opt/freesurfer/mni/lib/perl5/5.8.5 \
    PATH=/opt/freesurfer/bin:/opt/freesurfer/tktools:/opt/freesurfer/mni/bin:/opt/normvol/bin:/usr/local/bin:/usr/bin:/bin
RUN recon-all -version
