"""The report of a run: one schema-versioned structure (`model`), written as JSON (`json`) and as one page (`html`).

Everything on the page is computed before it is drawn: the HTML is made from the structure alone, so a saved report.json
can be drawn again, and no figure exists in only one of the two.
"""
