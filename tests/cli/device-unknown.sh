# A device that nobody has, and one that is none.
$SO ask hi --device tpu
$SO ask hi --device vulkan:x
