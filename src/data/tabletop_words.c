/* The 300 words of the tabletop world's "repeat after me" lists: common words of one to three syllables that are spoken
 * as they are written, no two of them closer than two phonemes of espeak-ng. The last thirty are reserved as first
 * words of test lists. Changing the order or the words changes every corpus.
 * Source: the tabletop spec, "Talk without a picture"; the list is this project's own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/tabletop.h"

const char *const so_tabletop_words[SO_TABLETOP_WORDS] = {
    "pigeon", "winter", "dress", "bucket", "bottle", "hamster", "chapter", "president", "volcano", "emperor",
    "walnut", "lemon", "pepper", "telescope", "highway", "balloon", "basket", "gift", "morning", "spoon", "garlic",
    "frog", "bridge", "cucumber", "desk", "mother", "chest", "ghost", "story", "moon", "guitar", "velvet", "marble",
    "dragon", "table", "traffic", "secret", "honey", "computer", "peanut", "donkey", "whistle", "almond", "puppy",
    "robot", "chicken", "pencil", "thumb", "fork", "brush", "zebra", "branch", "island", "empty", "umbrella",
    "autumn", "silver", "carpet", "soap", "desert", "piano", "monkey", "ribbon", "evening", "market", "minute",
    "suitcase", "shirt", "tiger", "torch", "monument", "ocean", "fish", "penguin", "picture", "nurse", "paper",
    "lazy", "sand", "scarf", "sailor", "friend", "blanket", "summer", "camera", "lake", "festival", "chair",
    "mustard", "sister", "milk", "scissors", "tractor", "window", "eagle", "tulip", "voice", "attic", "sheep",
    "balcony", "glove", "driver", "radio", "lantern", "stomach", "yogurt", "napkin", "beetle", "battery", "butterfly",
    "husband", "kitchen", "basement", "teapot", "anchor", "melody", "language", "drum", "statue", "holiday",
    "trumpet", "shoulder", "copper", "castle", "hammer", "field", "thunder", "painter", "prisoner", "angry", "river",
    "page", "compass", "king", "melon", "journal", "temple", "giraffe", "history", "calendar", "wolf", "jumping",
    "comet", "banana", "sunflower", "wooden", "truck", "snow", "tennis", "flag", "mirror", "puzzle", "spinach",
    "shadow", "swimming", "baker", "music", "carnival", "century", "candle", "juice", "falcon", "galaxy", "golden",
    "canyon", "garden", "happy", "famous", "engineer", "sandwich", "helmet", "birthday", "squirrel", "captain",
    "farmer", "uncle", "frozen", "hidden", "city", "envelope", "forest", "violin", "brother", "soup", "circus",
    "slipper", "song", "lawyer", "student", "princess", "bus", "onion", "coconut", "camel", "planet", "ticket",
    "newspaper", "leather", "biscuit", "teacher", "tunnel", "button", "yesterday", "elbow", "pilot", "cloud",
    "mountain", "cowboy", "quiet", "fishing", "harmony", "lightning", "broken", "postcard", "bedroom", "ceiling",
    "gentle", "perfect", "bicycle", "lizard", "detective", "stone", "cabinet", "station", "plate", "dentist",
    "jungle", "diamond", "tomorrow", "simple", "present", "rainbow", "hill", "book", "orchestra", "hunting",
    "football", "snake", "sentence", "clever", "pillow", "magic", "wagon", "mushroom", "cheese", "midnight", "fox",
    "coffee", "cousin", "telephone", "cabbage", "jacket", "riddle", "plastic", "shovel", "toy", "noisy", "chimney",
    "cactus", "sugar", "engine", "kettle", "passport", "crystal", "lamp", "child", "finger", "needle", "door",
    "garage",

    /* Reserved as first words. */
    "father", "giant", "carrot", "rabbit", "house", "soldier", "elephant", "dancer", "cotton", "spider", "oven",
    "valley", "gravity", "camping", "turtle", "pocket", "hospital", "apple", "glass", "potato", "museum", "dolphin",
    "scientist", "tomato", "brick", "blossom", "pancake", "airplane", "pumpkin", "smoke",
};
