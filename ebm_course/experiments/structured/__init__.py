"""Joint inference networks for tags: their tables row by row, and beside each network the best tags of its energy."""
