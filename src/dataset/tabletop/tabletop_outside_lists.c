/* Lists of what lies outside of the tabletop world: names, and questions with places for them. Training and the
 * reserved part share none of them. Changing them changes every corpus that has them.
 *
 * In a question %p is a person, %c a place, %n a thing, %t a topic, %d a dish, %x a word that does not exist, %k a word
 * of the world, %o one of no known opposite, %w one of no known colour, %s a number to twenty, %b one above, %l and %h
 * two numbers of which the second is higher.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_outside_lists.h"

/* clang-format off */
static const char *const people_train[] = {
    "Einstein", "Newton", "Mozart", "Shakespeare", "Napoleon", "Picasso", "Beethoven", "Darwin", "Cleopatra",
    "Caesar", "Gandhi", "Lincoln", "Obama", "Messi", "Madonna", "Elvis", "Mary", "John", "Peter", "Anna", "Michael",
    "Sarah", "David", "Laura", "Thomas", "Julia", "Robert", "Susan", "Daniel", "Emma", "Marie Curie",
    "Albert Einstein", "Charlie Chaplin", "Harry Potter", "Mickey Mouse", "Columbus", "Galileo", "Plato", "Barbara",
    "Steven", "my neighbor", "my boss", "Doctor Brown", "Mister Jones", "Elizabeth", "Alexander", "Victoria",
    "George Washington",
};
static const char *const people_reserved[] = {
    "Aristotle", "Vivaldi", "Ronaldo", "Rembrandt", "Tesla", "Dickens", "Charlemagne", "Oliver", "Sophia", "Hannah",
    "Marcus", "Neil Armstrong", "Frida Kahlo", "Isaac Asimov", "Mister Miller", "my aunt",
};
static const char *const places_train[] = {
    "France", "Germany", "Spain", "Italy", "China", "Japan", "India", "Brazil", "Canada", "Russia", "England",
    "Australia", "Egypt", "Mexico", "Turkey", "Greece", "Sweden", "Poland", "Kenya", "Argentina", "Paris", "London",
    "Berlin", "Rome", "Madrid", "Tokyo", "New York", "Chicago", "Moscow", "Vienna", "Amsterdam", "Texas",
    "California", "Florida", "Africa", "Europe", "Asia", "the moon", "the north pole", "the beach", "Hamburg",
    "Boston", "Peru", "Vietnam", "Scotland", "Jupiter", "downtown", "Seattle",
};
static const char *const places_reserved[] = {
    "Portugal", "Norway", "Chile", "Thailand", "Finland", "Ireland", "Lisbon", "Oslo", "Sydney", "Toronto",
    "Nigeria", "Barcelona", "Munich", "Saturn", "Antarctica", "Prague",
};
static const char *const nouns_train[] = {
    "dog", "cat", "horse", "cow", "lion", "whale", "bird", "bee", "mouse", "duck", "goat", "shark", "crocodile",
    "kangaroo", "dinosaur", "car", "train", "boat", "ship", "rocket", "motorcycle", "helicopter", "submarine",
    "refrigerator", "television", "keyboard", "printer", "toaster", "microwave", "washing machine",
    "vacuum cleaner", "microscope", "screwdriver", "pizza", "burger", "salad", "bread", "wine", "hotel",
    "restaurant", "airport", "school", "university", "library", "church", "bank", "pharmacy", "supermarket",
    "stadium", "theater", "tree", "flower", "rose", "cathedral", "tower", "pyramid", "painting", "novel", "movie",
    "poem", "company", "government", "election", "virus", "vaccine", "atom", "molecule", "meteor", "earthquake",
    "hurricane", "tornado", "glacier", "waterfall", "heart", "brain", "kidney", "muscle", "skeleton", "credit card",
    "passenger", "neighbor", "unicorn", "website", "password", "internet", "smartphone", "wallet", "umpire",
    "kitten", "octopus", "igloo", "avocado",
};
static const char *const nouns_reserved[] = {
    "parrot", "bear", "deer", "gorilla", "ostrich", "taxi", "subway", "dishwasher", "laptop", "calculator",
    "omelet", "cathedral window", "violet", "symphony", "satellite", "comedian", "lung", "volleyball", "iceberg",
    "mosquito", "parachute", "wardrobe", "lasagna", "cinema",
};
static const char *const topics_train[] = {
    "history of science", "gravity waves", "quantum physics", "climate change", "democracy", "football rules",
    "chess", "philosophy", "religion", "mathematics", "chemistry", "the stock market", "the second world war",
    "evolution", "black holes", "electricity", "photosynthesis", "love", "money", "politics",
    "artificial intelligence", "the internet", "medicine", "cancer", "taxes", "jazz", "opera", "cooking", "fashion",
    "gardening", "the universe", "time travel", "friendship", "baseball", "space travel", "the economy",
    "war and peace", "vitamins", "insurance", "robots and humans",
};
static const char *const topics_reserved[] = {
    "astronomy", "biology", "the French revolution", "nuclear power", "global warming", "poetry", "basketball",
    "the solar system", "inflation", "psychology", "ballet", "the middle ages", "happiness", "genetics",
};
static const char *const dishes_train[] = {
    "pizza", "pancakes with syrup", "spaghetti", "tomato soup", "fried rice", "chocolate cake", "apple pie",
    "a salad", "scrambled eggs", "curry", "sushi", "bread", "lasagna", "hamburgers", "chicken stew", "noodles",
    "cookies", "ice cream", "tacos", "mashed potatoes",
};
static const char *const dishes_reserved[] = {
    "risotto", "paella", "an omelet", "roast beef", "cheesecake", "dumplings", "waffles", "lentil soup",
};
static const char *const ask_world_train[] = {
    "What is the capital of %c?", "Who is the president of %c?", "Who is the king of %c?", "Who was %p?",
    "Who is %p?", "Where is %c?", "How far is it to %c?", "How many people live in %c?",
    "What language do they speak in %c?", "When was %p born?", "When did %p die?", "What did %p write?",
    "What did %p say?", "Who painted the %n?", "Who invented the %n?", "Who built the %n in %c?",
    "Who won the world cup?", "Who won the game?", "Who won the war?", "Who wrote %t?", "What is a %n?",
    "What is %t?", "What are %n?", "How does a %n work?", "How does the %k work?", "Why is the %k so famous?",
    "Where does the %n come from?", "Tell me about %t.", "Tell me about %p.", "Tell me about %c.",
    "Tell me something about the %n.", "Explain %t to me.", "What do you know about %t?",
    "What do you know about %c?", "How tall is the %n?", "How tall is %p?", "How old is %p?", "How old is the %n?",
    "How big is %c?", "How much does a %n cost?", "How much is a %k?", "What is the meaning of %n?",
    "What is the best %n?", "Do you know %p?", "Do you like %n?", "Do you like %t?", "Have you been to %c?",
    "What does a %n eat?", "What does a %k do?", "How do I fix my %n?", "How do I get to %c?",
    "Why does %t matter?", "When did %t begin?", "What is the biggest %n in the world?",
    "What is the longest river in %c?", "What is the highest mountain in %c?", "Which team does %p play for?",
    "Is %p from %c?", "Does a %n have a %n?", "Can a %k swim?", "Can a %n fly?",
    "What is the difference between a %n and a %n?", "How do you spell %n?", "How do you say %k in %c?",
    "What does %x mean?", "What is %x?", "Who is %x %x?", "Where is %x?", "Is a %n bigger than a %k?",
    "What is the %n of %c?", "What sound does a %n make?", "Why do people like %t?", "What color is a %n?",
    "What color is the %n?", "What color is a %w?", "What is the opposite of a %n?", "What is the opposite of %o?",
    "What shape is %c?", "What shape is a %n?", "How many legs does a %n have?", "How many %n are in %c?",
    "How many days are in a year?", "How many hours are in a day?", "What comes after %x?", "Where can I buy a %n?",
    "Where is the %n?", "What happened in %c?", "Is there a %n in %c?", "Is there life on %c?", "Is %t true?",
    "Why is %t difficult?", "Why is the %n broken?", "Why does the %k smell?", "Why do we sleep?",
    "Why is it dark at night?", "Who lives in %c?", "Who stole the %k?", "Which %n is the fastest?",
    "Which %k is the best?", "Whose %n is this?", "I like %n.", "I am from %c.", "My name is %p.",
    "I bought a %n in %c.", "The %n is broken.", "%p is my friend.", "I want to talk about %t.",
    "Let us talk about %t.", "The %k and the %n went to %c.", "You should read about %t.", "I think %p is wrong.",
    "%x %x %k.", "The %x is %x.", "Did %p visit %c?", "Did you see the %n?", "Were you ever in %c?",
    "Is it true that %p lives in %c?", "What kind of %n is that?", "What was the first %n?", "Are %n dangerous?",
    "How do %n sleep?", "What is inside a %k?", "What is a %k made of?", "Who eats %n?",
};
static const char *const ask_world_reserved[] = {
    "Which city is the capital of %c?", "Who rules %c?", "What is the population of %c?", "What is %p famous for?",
    "Where was %p born?", "Who discovered %t?", "When was the %n invented?", "What can you tell me about %t?",
    "How is a %n made?", "What is a %n used for?", "Do they have a %n in %c?", "Who won the election in %c?",
    "Which planet is the largest?", "How long does a %k live?", "What do you call a baby %n?",
    "Who wrote the book about %p?", "How big is a %n?", "Is %p older than %p?", "How fast is a %n?",
    "Why is %t important?", "Describe %t.", "Describe %c to me.", "Name three kinds of %n.",
    "Does %p speak English?", "What are %n made of?", "How heavy is a %n?", "Who is the wife of %p?",
    "What did %p do in %c?", "What is the opposite of the %n?", "What color was the %n of %p?",
    "Which country is next to %c?", "Why did %p leave %c?", "What is the name of the %n?", "I am reading about %t.",
    "Yesterday I saw %p in %c.", "What does the word %x mean?", "Is a %n an animal?", "Can you eat a %n?",
    "Have you heard of %p?", "Where does the %k sleep?",
};
static const char *const ask_deed_train[] = {
    "Write a poem about %t.", "Write a letter to %p.", "Write some code.", "Write a song for %p.",
    "Play some music.", "Play a song by %p.", "Play a game with me.", "Turn on the %n.", "Turn off the light.",
    "Turn up the music.", "Turn the %n to the left.", "Call %p.", "Call a doctor.", "Send a message to %p.",
    "Set a timer for %s minutes.", "Set an alarm.", "Wake me up at %s.", "Open the %n.", "Open the door.",
    "Close the window.", "Book a table for %s.", "Book a flight to %c.", "Order %d for me.",
    "Give me a recipe for %d.", "Give me some money.", "Give me a %n.", "How do I cook %d?", "How do I make %d?",
    "How can I bake %d?", "Translate %n into another language.", "Show me a picture of %c.",
    "Show me the way to %c.", "Draw a %k for me.", "Draw a %n.", "Sing a song.", "Dance with me.",
    "Read me the news.", "Read me a book about %t.", "Find a doctor near me.", "Find a %n in %c.", "Find %p.",
    "Buy me a %n.", "Buy %d.", "Search for %t.", "Search the internet for %p.", "Remind me to call %p.",
    "Remind me to buy %d.", "Take a photo.", "Take me to %c.", "Help me with my homework.", "Help me with my %n.",
    "Delete all my files.", "Clean my %k.", "Drive me to %c.", "Bring me a %k.", "Make me a sandwich with %x.",
    "Put %d on my list.", "Add %d to the list.", "Start the %n.", "Stop the %n.", "Can you cook %d?",
    "Can you sing?", "Can you drive a %n?", "Can you call %p?", "Please open the %n.", "Please write to %p.",
    "Cut the %k.", "Move to %c.", "Summarize %t.", "Compare the %n and the %k.",
};
static const char *const ask_deed_reserved[] = {
    "Please sing for me.", "Make %d.", "Prepare %d for %s people.", "Compose a song about %t.", "Phone %p for me.",
    "Email %p.", "Switch off the %n.", "Play the radio.", "Navigate to %c.", "Give me directions to %c.",
    "Reserve a room in %c.", "Tell me how to cook %d.", "Can you write a story about %p?", "Print a page about %t.",
    "Carry the %n to %c.", "Could you call %p?", "Fetch me a %n.", "Paint a %n.", "Wash my %k.", "Start a timer.",
};
static const char *const ask_now_train[] = {
    "What is the weather today?", "What is the weather like in %c?", "How is the weather?",
    "How is the weather in %c?", "Will it rain tomorrow?", "Will it rain in %c?", "Is it raining?",
    "Is it cold outside?", "How hot is it in %c?", "What time is it?", "What time is it in %c?",
    "What day is it today?", "What is the date?", "What year is it?", "What is the news?", "What is new?",
    "What is my name?", "Where am I?", "Where do I live?", "How old am I?", "What did I do yesterday?",
    "What did I eat this morning?", "Who am I?", "Who is here?", "When does the train to %c leave?",
    "When does the %n open?", "Is the %n open today?", "What should I eat tonight?", "What should I wear?",
    "What should I do?", "Do you love me?", "Will I be rich?", "Will %p come?", "What is your favorite %n?",
    "What is your favorite song?", "Should I buy a %n?", "Am I right?", "Am I sick?", "Why am I so tired?",
    "Is %p at home?", "Where are my keys?", "Where is my %k?", "Where is my %n?", "What do you think about %t?",
    "What do you think about %p?", "Are you happy with %p?", "When is my birthday?", "When will I see %p?",
    "How do I feel?", "What am I thinking?", "Who called me?", "How long do I have to wait?",
    "What is on television?", "Do I need a %n?", "Did I win?", "Is my %k still there?", "Where did %p go?",
    "What will happen tomorrow?", "How much money do I have?", "Are we alone?", "Is dinner ready?",
    "What is the price of %d?",
};
static const char *const ask_now_reserved[] = {
    "Is it going to snow tonight?", "What is the temperature in %c?", "Tell me the time.", "What month is it now?",
    "What is happening in %c?", "Guess my name.", "Who is my friend?", "Where did I put my %n?",
    "What is in my pocket?", "How do I look?", "When will %p arrive?", "What is your favorite food?",
    "Is the shop in %c open?", "Which bus goes to %c?", "What do I want?", "How warm is it outside?",
    "Where is %p now?", "Do I have a meeting today?", "What is the traffic like?", "Can I trust %p?",
};
static const char *const ask_sum_train[] = {
    "What is %s times %s?", "What is %s divided by %s?", "What is %b plus %s?", "What is %b minus %s?",
    "What is %s plus %b?", "Count from %s to %b.", "What is %b times %b?", "What is the square of %s?",
    "How much is %b and %b?", "What is half of %b?", "What is %b divided by %s?", "What is %l minus %h?",
    "What is %b plus %b?", "How many is %b times %s?", "What number comes after %b?", "What is %s percent of %b?",
    "Count to %b.",
};
static const char *const ask_sum_reserved[] = {
    "How much is %s times %s?", "Multiply %s by %s.", "Divide %b by %s.", "How much is %b plus %b?",
    "Add %b and %b.", "Count up to %b.", "What do I get for %s times %b?", "Subtract %s from %b.",
    "What is the root of %b?",
};
static const char *const bigs[] = {
    "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "a hundred", "a thousand", "a million",
    "thirty one", "forty two", "sixty five", "ninety nine",
};
static const char *const languages_train[][2] = {
    {"de", "Wie hei\xc3\x9ft du?"},
    {"de", "Wie geht es dir heute?"},
    {"de", "Was ist die Hauptstadt von Frankreich?"},
    {"de", "Kannst du mir bitte helfen?"},
    {"de", "Ich m\xc3\xb6""chte ein Glas Wasser."},
    {"de", "Wo ist der Bahnhof?"},
    {"de", "Guten Morgen, wie sp\xc3\xa4t ist es?"},
    {"de", "Erz\xc3\xa4hl mir eine Geschichte."},
    {"de", "Das Wetter ist heute sch\xc3\xb6n."},
    {"de", "Was siehst du auf dem Bild?"},
    {"de", "Ich verstehe dich nicht."},
    {"de", "Welche Farbe hat der Stern?"},
    {"de", "Wie viele Kreise siehst du?"},
    {"de", "Danke, auf Wiedersehen."},
    {"fr", "Comment tu t'appelles?"},
    {"fr", "Quelle heure est-il?"},
    {"fr", "O\xc3\xb9 est la gare, s'il vous pla\xc3\xaet?"},
    {"fr", "Je ne parle pas anglais."},
    {"fr", "Quelle est la capitale de l'Allemagne?"},
    {"fr", "Raconte-moi une histoire."},
    {"fr", "Il fait beau aujourd'hui."},
    {"fr", "Combien de cercles vois-tu?"},
    {"fr", "Bonjour, comment \xc3\xa7""a va?"},
    {"fr", "Je voudrais un caf\xc3\xa9."},
    {"fr", "De quelle couleur est l'\xc3\xa9toile?"},
    {"fr", "Merci beaucoup, au revoir."},
    {"fr", "Qu'est-ce que tu fais?"},
    {"fr", "Mon fr\xc3\xa8re habite \xc3\xa0 Lyon."},
    {"es", "\xc2\xbf""C\xc3\xb3mo te llamas?"},
    {"es", "\xc2\xbfQu\xc3\xa9 hora es?"},
    {"es", "\xc2\xbf""D\xc3\xb3nde est\xc3\xa1 la estaci\xc3\xb3n?"},
    {"es", "No hablo ingl\xc3\xa9s."},
    {"es", "\xc2\xbf""Cu\xc3\xa1l es la capital de Italia?"},
    {"es", "Cu\xc3\xa9ntame un cuento."},
    {"es", "Hoy hace buen tiempo."},
    {"es", "\xc2\xbf""Cu\xc3\xa1ntos c\xc3\xadrculos ves?"},
    {"es", "Buenos d\xc3\xad""as, \xc2\xbf""c\xc3\xb3mo est\xc3\xa1s?"},
    {"es", "Quiero un vaso de agua."},
    {"es", "\xc2\xbf""De qu\xc3\xa9 color es la estrella?"},
    {"es", "Muchas gracias, hasta luego."},
    {"es", "\xc2\xbfQu\xc3\xa9 ves en la imagen?"},
    {"es", "Mi hermana vive en Sevilla."},
    {"it", "Come ti chiami?"},
    {"it", "Che ore sono?"},
    {"it", "Dove si trova la stazione?"},
    {"it", "Non parlo inglese."},
    {"it", "Qual \xc3\xa8 la capitale della Spagna?"},
    {"it", "Raccontami una storia."},
    {"it", "Oggi fa bel tempo."},
    {"it", "Quanti cerchi vedi?"},
    {"it", "Buongiorno, come stai?"},
    {"it", "Vorrei un bicchiere d'acqua."},
    {"it", "Di che colore \xc3\xa8 la stella?"},
    {"it", "Grazie mille, arrivederci."},
    {"it", "Che cosa vedi?"},
    {"it", "Mio fratello abita a Roma."},
};
static const char *const languages_reserved[][2] = {
    {"nl", "Hoe heet je?"},
    {"nl", "Waar is het station?"},
    {"nl", "Ik wil graag een kopje koffie."},
    {"nl", "Wat is de hoofdstad van Belgi\xc3\xab?"},
    {"nl", "Hoeveel cirkels zie je?"},
    {"nl", "Het weer is vandaag mooi."},
    {"sv", "Vad heter du?"},
    {"sv", "Var ligger stationen?"},
    {"sv", "Jag vill ha ett glas vatten."},
    {"sv", "Hur m\xc3\xa5nga cirklar ser du?"},
    {"sv", "V\xc3\xa4""dret \xc3\xa4r fint idag."},
    {"sv", "Ber\xc3\xa4tta en saga f\xc3\xb6r mig."},
    {"pt", "Como voc\xc3\xaa se chama?"},
    {"pt", "Onde fica a esta\xc3\xa7\xc3\xa3o?"},
    {"pt", "Eu queria um copo de \xc3\xa1gua."},
    {"pt", "Qual \xc3\xa9 a capital da Fran\xc3\xa7""a?"},
    {"pt", "Quantos c\xc3\xadrculos voc\xc3\xaa v\xc3\xaa?"},
    {"pt", "Hoje o tempo est\xc3\xa1 bom."},
    {"pl", "Jak masz na imi\xc4\x99?"},
    {"pl", "Gdzie jest dworzec?"},
    {"pl", "Prosz\xc4\x99 szklank\xc4\x99 wody."},
    {"pl", "Jaka jest stolica Francji?"},
    {"pl", "Ile k\xc3\xb3\xc5\x82 widzisz?"},
    {"pl", "Dzisiaj jest \xc5\x82""adna pogoda."},
};
/* clang-format on */

#define LIST(name)                                                                                                     \
    {                                                                                                                  \
        name, sizeof(name) / sizeof *(name)                                                                            \
    }
#define BOTH(name)                                                                                                     \
    {                                                                                                                  \
        LIST(name##_train), LIST(name##_reserved)                                                                      \
    }

const so_list so_outside_people[2] = BOTH(people);
const so_list so_outside_places[2] = BOTH(places);
const so_list so_outside_things[2] = BOTH(nouns);
const so_list so_outside_topics[2] = BOTH(topics);
const so_list so_outside_dishes[2] = BOTH(dishes);
const so_list so_outside_numbers = LIST(bigs);
const so_list so_outside_questions[4][2] = {BOTH(ask_world), BOTH(ask_deed), BOTH(ask_now), BOTH(ask_sum)};
const so_pairs so_outside_languages[2] = BOTH(languages);
