"""Small copies of the sources' APIs, strict where their documentation is, over real HTTP."""
