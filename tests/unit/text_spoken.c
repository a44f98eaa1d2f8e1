/* Text as it is said: tables of English and Chinese, and whatever bytes there are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "text/spoken.h"

static so_spoken_rules *rules;

static int open_rules(void **state)
{
    (void)state;
    so_error error;
    if (so_spoken_open(&rules, &error) == SO_OK) return 0;
    fprintf(stderr, "%s\n", error.text);
    return 1;
}

static int close_rules(void **state)
{
    (void)state;
    so_spoken_close(&rules);
    return 0;
}

static const char *said(const char *text, so_tongue tongue)
{
    static so_string out;
    so_error error;
    out.size = 0;
    CHECK_OK(so_spoken_write(rules, text, strlen(text), tongue, &out, &error), error);
    return out.size ? out.data : "";
}

typedef struct pair {
    const char *text, *said;
} pair;

static void check_all(const pair *cases, size_t n)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        const char *got = said(cases[i].text, SO_TONGUE_TOLD);
        if (strcmp(got, cases[i].said) == 0) continue;
        print_error("'%s'\n     gave '%s'\n expected '%s'\n", cases[i].text, got, cases[i].said);
        bad++;
    }
    if (bad) fail_msg("%d of %zu", bad, n);
}

static void english(void **state)
{
    (void)state;
    static const pair cases[] = {
        {"Hello", "Hello."},
        {"I have 3 dogs and 12 cats.", "I have three dogs and twelve cats."},
        {"0 or 7 or 21 or 100", "zero or seven or twenty-one or one hundred."},
        {"There are 105 of 1,234 and 1,000,000.",
         "There are one hundred five of one thousand two hundred thirty-four and one million."},
        {"Agent 007", "Agent zero zero seven."},
        {"It costs $19.99.", "It costs nineteen dollars and ninety-nine cents."},
        {"$1, $1.01, $0.50, $5.00", "one dollar, one dollar and one cent, fifty cents, five dollars."},
        {"£3.50 or €2 or ¥500", "three pounds and fifty pence or two euros or five hundred yen."},
        {"$3.5 million and $2B and 20 EUR",
         "three point five million dollars and two billion dollars and twenty euros."},
        {"Pi is 3.14.", "Pi is three point one four."},
        {"5% and 2.5 %", "five percent and two point five percent."},
        {"the 1st, 2nd, 3rd, 4th, 21st, 30th and 100th",
         "the first, second, third, fourth, twenty-first, thirtieth and one hundredth."},
        {"In 1984, 2005, 2010, 1900 and 1905.",
         "In nineteen eighty-four, two thousand five, twenty ten, nineteen hundred and nineteen oh five."},
        {"the 1990s", "the nineteen nineties."},
        {"It is 3:05 pm.", "It is three oh five p m."},
        {"At 3 p.m. she left.", "At three p m she left."},
        {"At 3 p.m. She left.", "At three p m. She left."},
        {"3:00, 15:30, 07:45", "three o'clock, fifteen thirty, seven forty-five."},
        {"On 2024-05-03.", "On May third, twenty twenty-four."},
        {"On 5/3/2024.", "On May third, twenty twenty-four."},
        {"3-5 people, 1914–1918", "three to five people, nineteen fourteen to nineteen eighteen."},
        {"1/2 or 3/8", "one half or three over eight."},
        {"5 km, 1 kg, 2.5 cm and 20°C",
         "five kilometers, one kilogram, two point five centimeters and twenty degrees Celsius."},
        {"-3 degrees", "minus three degrees."},
        {"at 60 mph with 16 GB", "at sixty miles per hour with sixteen gigabytes."},
        {"Call 555-1234.", "Call five five five, one two three four."},
        {"Call 12345678.", "Call one two three four five six seven eight."},
        {"Dr. Smith and Mrs. Jones", "Doctor Smith and Missus Jones."},
        {"St. Paul lives in Main St.", "Saint Paul lives in Main Street."},
        {"fruit, e.g. apples, i.e. food, etc.", "fruit, for example, apples, that is, food, et cetera."},
        {"cats vs. dogs", "cats versus dogs."},
        {"The CPU and the FBI, but NASA.", "The C P U and the F B I, but NASA."},
        {"STOP RIGHT NOW", "STOP RIGHT NOW."},
        {"King Henry VIII and World War II, Chapter IV", "King Henry the eighth and World War two, Chapter four."},
        {"Go to https://www.example.com/docs.", "Go to example dot com slash docs."},
        {"See example.org now.", "See example dot org now."},
        {"Write to joe.bloggs@mail.co.uk!", "Write to joe dot bloggs at mail dot co dot uk!"},
        {"It costs $19.99 at www.example.museum.",
         "It costs nineteen dollars and ninety-nine cents at example dot museum."},
        {"See www.bbc.co.uk/news, then notes.txt.", "See bbc dot co dot uk slash news, then notes dot txt."},
        {"$5-$10, $5-10, 5$, 19,99 € and $.50", "five to ten dollars, five to ten dollars, five dollars, nineteen "
                                                "euros and ninety-nine cents and fifty cents."},
        {"US$20 and -$5, €5.50/month",
         "U S twenty dollars and minus five dollars, five euros and fifty cents per month."},
        {"٣ of ४५%, at ١٢:٣٠", "three of forty-five percent, at twelve thirty."},
        {"ÖBB, Ä1 and ÅÄÖ", "Ö B B, Ä one and Å Ä Ö."},
        {"salt & pepper, 2 + 2 = 4", "salt and pepper, two plus two equals four."},
        {"he/she, 3 x 4", "he or she, three by four."},
        {"**Bold** and *soft* and `code`", "Bold and soft and code."},
        {"# Title\n\nText here.", "Title. Text here."},
        {"- one\n- two", "one. two."},
        {"See [the page](http://a.b/c) and ![a cat](cat.png)", "See the page and a cat."},
        {"Wow 😀!", "Wow!"},
        {"He said \"stop\" (twice) — loudly", "He said stop, twice, loudly."},
        {"It's Bob's, don't.", "It's Bob's, don't."},
        {"Wait… what?", "Wait. what?"},
        {"version 3.5.1", "version three point five point one."},
        {"ｆｕｌｌ １２", "full twelve."},
        {"", ""},
        {"   ", ""},
        {"99999999999999999999",
         "nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine."},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

static void chinese(void **state)
{
    (void)state;
    static const pair cases[] = {
        {"你好,世界。", "你好，世界。"},
        {"我有3只狗和12只猫", "我有三只狗和十二只猫。"},
        {"2个人，2024年5月3日", "两个人，二零二四年五月三日。"},
        {"今天是2024-05-03", "今天是二零二四年五月三日。"},
        {"现在是3:05", "现在是三点零五分。"},
        {"下午3点05分和14:30", "下午三点零五分和十四点三十分。"},
        {"增长了25%", "增长了百分之二十五。"},
        {"圆周率是3.14", "圆周率是三点一四。"},
        {"一共¥19.90元吗?", "一共十九点九元吗？"},
        {"价格是$5", "价格是五美元。"},
        {"请你先看看www.example.com/a1。", "请你先看看example点com斜杠a一。"},
        {"请写信给jo@mail.cn或者看看http://a.b/c.html", "请写信给jo艾特mail点cn或者看看a点b斜杠c点html。"},
        {"10、105、1003、10020、100,000,000", "十、一百零五、一千零三、一万零二十、一亿。"},
        {"3-5天", "三到五天。"},
        {"1/2的人", "二分之一的人。"},
        {"电话13800138000", "电话一三八零零一三八零零零。"},
        {"5km和20℃", "五公里和二十摄氏度。"},
        {"气温-5度", "气温负五度。"},
        {"我爱 AI 和 ＣＰＵ", "我爱A I和C P U。"},
        {"（真的）……", "真的。"},
        {"２０个", "二十个。"},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

/* Once is enough: what has been written as words stays. */
static void words_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {"It costs $19.99 at 3:05 pm.", "King Henry VIII had 6 wives.", "我有3只狗。"};
    for (size_t i = 0; i < 3; i++) {
        char once[256];
        snprintf(once, sizeof once, "%s", said(texts[i], SO_TONGUE_TOLD));
        assert_string_equal(said(once, SO_TONGUE_TOLD), once);
    }
}

static void any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789.,:/-$%&@#()[]*_`\n \"'ABCxyz\xe4\xbd\xa0\xff\xf0\x9f";
    unsigned seed = 7;
    char text[300];
    so_string out = {0};
    so_error error;
    for (int round = 0; round < 400; round++) {
        size_t n = (size_t)(round % 299);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[((seed = seed * 1103515245 + 12345) >> 16) % (sizeof alphabet - 1)];
        for (int tongue = 0; tongue < 3; tongue++) {
            out.size = 0;
            CHECK_OK(so_spoken_write(rules, text, n, (so_tongue)tongue, &out, &error), error);
            assert_true(so_utf8_valid(out.data ? out.data : "", out.size));
            for (size_t i = 0; i < out.size; i++) assert_false(out.data[i] >= '0' && out.data[i] <= '9');
        }
    }
    so_string_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(english),
        cmocka_unit_test(chinese),
        cmocka_unit_test(words_stay),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, open_rules, close_rules);
}
