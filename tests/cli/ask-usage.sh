# A question is needed; a file that is named must exist; a model too.
$SO ask
$SO ask "$ROOT/examples/table.png"
$SO ask nowhere.png "What is it?"
$SO ask --model nowhere.gguf "Hello."
$SO speak
$SO see a.png b.png
$SO transcribe
$SO eval silver there
