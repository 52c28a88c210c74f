"""The chaos proof: every ending of hundreds of runs is rung back once, whatever is killed on the way."""
