"""The paper's Table 1 from the data on: every row trained, evaluated and put beside the paper's."""
