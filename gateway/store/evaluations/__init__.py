"""What is found of answers afterwards, by whoever reads them: kept as numbers, by the id of the record of the answer.

`similarity.py`  how alike two texts are: ROUGE-L and chrF
`pairing.py`     the two answers of a request that was copied, brought together
`desk.py`        what is scored, on a thread of its own in the writer process, and put into the table
`table.py`       the table
`report.py`      pairs of answers side by side, with bounds (`penstock shadow report`)

Law: only what a model's contents hook has approved is read here, and no text is kept here longer than it takes to score
it: what is stored is a number.
"""
