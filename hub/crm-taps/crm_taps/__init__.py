"""Singer taps for the CRMs around HubSpot: a module per source on one small base."""

from crm_taps.process import hold_signals, is_plugin

if is_plugin():
    hold_signals()  # until the plugin heeds them
