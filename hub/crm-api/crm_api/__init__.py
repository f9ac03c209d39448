"""An API for end users of a HubSpot account: they register, log in, open deals and tickets."""
