# normvol as a container. Targets:
#   slim-core  without PCNtoolkit (GPL-3.0) and what only it needs
#   slim       all of normvol: ingests FreeSurfer output (no recon-all inside)
#   full       with FreeSurfer 7.4.1, licence given at run time
#   docker build --target slim -t normvol:slim .
#   docker run --rm --network none -u $(id -u):$(id -g) -v BIDS:/data:ro -v OUT:/out normvol:slim /data /out participant
# A digest belongs to a tag only where it was read from a registry: --build-arg BASE=python:3.11-slim@sha256:...
ARG BASE=python:3.11-slim
ARG FREESURFER=freesurfer/freesurfer:7.4.1

FROM ${BASE} AS build
# Byte code is written for what the runs below import, not for everything.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/normvol
COPY requirements/core.txt /src/requirements/
RUN /opt/normvol/bin/pip install --no-compile --require-hashes -r /src/requirements/core.txt

FROM build AS build-core
COPY pyproject.toml setup.cfg README.md LICENSE /src/
COPY docs/package-index.md /src/docs/
COPY scripts/finish_image.sh /src/scripts/
COPY bids_app /src/bids_app
RUN /opt/normvol/bin/pip install --no-compile --no-deps /src && bash /src/scripts/finish_image.sh /opt/normvol

FROM build AS build-slim
COPY requirements/full.txt /src/requirements/
RUN /opt/normvol/bin/pip install --no-compile --require-hashes -r /src/requirements/full.txt
COPY pyproject.toml setup.cfg README.md LICENSE /src/
COPY docs/package-index.md /src/docs/
COPY scripts/finish_image.sh /src/scripts/
COPY bids_app /src/bids_app
RUN /opt/normvol/bin/pip install --no-compile --no-deps /src && bash /src/scripts/finish_image.sh /opt/normvol

# Templates for the reports. TEMPLATES=optional builds where they cannot be fetched: the packaged drawing takes their place.
FROM build-core AS templates
ARG TEMPLATES=required
COPY scripts/fetch_templates.py /src/scripts/
RUN mkdir -p /opt/templateflow \
 && TEMPLATEFLOW_HOME=/opt/templateflow /opt/normvol/bin/python -B /src/scripts/fetch_templates.py --$TEMPLATES

FROM ${BASE} AS runtime
ARG VERSION=1.0.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="normvol" \
      org.opencontainers.image.description="Normative volumetry of FreeSurfer brain volumes, as a BIDS-App. For research use only." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0"
# Any other user will do as well: nothing of the image is written to, and nothing is read from a home folder.
RUN echo "normvol:x:1000:1000::/home/normvol:/bin/sh" >> /etc/passwd \
 && echo "normvol:x:1000:" >> /etc/group \
 && mkdir -p /home/normvol && chown 1000:1000 /home/normvol \
 && for tool in normvol normvol-model normvol-demo normvol-plot normvol-status normvol-slurm; do ln -s /opt/normvol/bin/$tool /usr/local/bin/$tool; done
ENV PATH=/opt/normvol/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    NUMEXPR_MAX_THREADS=1 \
    NO_ET=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=off
COPY --from=templates /opt/templateflow /opt/templateflow
ENTRYPOINT ["/opt/normvol/bin/normvol"]

FROM runtime AS slim-core
COPY --from=build-core /opt/normvol /opt/normvol
USER 1000:1000
RUN normvol --version

FROM runtime AS slim
LABEL org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0 AND GPL-3.0-only"
COPY --from=build-slim /opt/normvol /opt/normvol
USER 1000:1000
RUN normvol --version

# The real recon-all: normvol calls
#   recon-all -sd OUT/sourcedata/freesurfer -s sub-X[_ses-Y] -i T1w.nii.gz [-i ...] -all -parallel -openmp N
# This target was never built where the project is written: there is no FreeSurfer there. Packages and variables are those of two
# public images of FreeSurfer 7.4.1 and one of 7.2 (tests/data/freesurfer_images.tsv); the MNI tools' perl modules lie in one of
# two places, by the system that FreeSurfer was built for. .ci/container-full is to build it with a stand-in of ours.
FROM ${FREESURFER} AS freesurfer
COPY scripts/freesurfer /tmp/freesurfer-scripts
RUN bash /tmp/freesurfer-scripts/trim.sh /usr/local/freesurfer

FROM slim AS full
LABEL org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0 AND GPL-3.0-only AND LicenseRef-FreeSurfer"
USER root
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends bc gawk hostname libgfortran5 libgl1 libglu1-mesa libgomp1 libquadmath0 \
      libsm6 libx11-6 libxext6 libxmu6 libxrender1 libxt6 perl procps tar tcsh time vim-common \
 && rm -rf /var/lib/apt/lists/*
COPY --from=freesurfer /usr/local/freesurfer /opt/freesurfer
ENV OS=Linux \
    FREESURFER_HOME=/opt/freesurfer \
    FREESURFER=/opt/freesurfer \
    SUBJECTS_DIR=/opt/freesurfer/subjects \
    FUNCTIONALS_DIR=/opt/freesurfer/sessions \
    LOCAL_DIR=/opt/freesurfer/local \
    FSFAST_HOME=/opt/freesurfer/fsfast \
    FMRI_ANALYSIS_DIR=/opt/freesurfer/fsfast \
    FSF_OUTPUT_FORMAT=nii.gz \
    FS_OVERRIDE=0 \
    FIX_VERTEX_AREA= \
    MNI_DIR=/opt/freesurfer/mni \
    MNI_DATAPATH=/opt/freesurfer/mni/data \
    MINC_BIN_DIR=/opt/freesurfer/mni/bin \
    MINC_LIB_DIR=/opt/freesurfer/mni/lib \
    MNI_PERL5LIB=/opt/freesurfer/mni/share/perl5:/opt/freesurfer/mni/lib/perl5/5.8.5 \
    PERL5LIB=/opt/freesurfer/mni/share/perl5:/opt/freesurfer/mni/lib/perl5/5.8.5 \
    PATH=/opt/freesurfer/bin:/opt/freesurfer/tktools:/opt/freesurfer/mni/bin:/opt/normvol/bin:/usr/local/bin:/usr/bin:/bin
COPY scripts/freesurfer/check.sh /tmp/
RUN recon-all -version && bash /tmp/check.sh && rm /tmp/check.sh
USER 1000:1000
