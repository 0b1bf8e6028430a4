"""A result as figures and as one self-contained page."""

from microlocal.report.facts import coarse_views as coarse_views
from microlocal.report.facts import network_sentence as network_sentence
from microlocal.report.html import render_report as render_report
from microlocal.report.html import write_report as write_report
from microlocal.report.notebook import figure as figure
from microlocal.report.stack_page import write_stack_page as write_stack_page
from microlocal.report.volume_page import beam_in_words as beam_in_words
from microlocal.report.volume_page import told_surfaces as told_surfaces
from microlocal.report.volume_page import write_volume_page as write_volume_page
