$SO inspect nothing.gguf
