# JupyterLab with the notebooks, as a normal user.
#   docker build -t few-labels .
#   docker run --rm -p 127.0.0.1:8888:8888 -v few-labels-runs:/home/student/few-labels/runs few-labels
# Open the address with the token that it prints. With an NVIDIA GPU add `--gpus all`; with images
# of your own `-v /path/to/images:/home/student/images:ro`, and in a notebook set
# DATASET = "/home/student/images".
FROM python:3.11-slim-bookworm

RUN useradd --uid 1000 --create-home --shell /bin/bash student
WORKDIR /home/student/few-labels

# Packages first: they are fetched anew only when these files change. Versions are those of
# constraints.txt.
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt jupyterlab -c constraints.txt

COPY --chown=student:student . .
RUN mkdir -p data results runs && chown student:student . data results runs

USER 1000
# The notebooks run on the packages above, and nothing is written beside Python's own files.
ENV JUPYTER_PREFER_ENV_PATH=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "notebooks"]
