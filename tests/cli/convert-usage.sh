$SO convert
