# The first part of the recipe leaves a tokenizer and is done.
$SO train tabletop there --part vocabulary --threads 1
$SO train tabletop there --parts | head -1
