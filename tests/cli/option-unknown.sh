$SO data tabletop there --scenery 4
