"""The languages that the extractive answerer knows: how to tell them apart, and what it says in each."""

import re
from dataclasses import dataclass
from typing import Final

_KANA: Final = re.compile(r"[\u3040-\u30ff]")
_HAN: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Wording:
    """What the answerer says in one language. `open_quote` and `close_quote` stand around a quotation."""

    quoted: str
    nearest: str
    nothing: str
    no_search: str
    open_quote: str
    close_quote: str


WORDINGS: Final = {
    "en": Wording(
        "No language model is configured: these are quotations from the files, not a written answer.",
        "No passage uses the words of the question. The nearest one found reads:",
        "I found no passage about this in the files. No language model is configured, so I can only quote from files.",
        "No language model is configured. I can search files and quote from them, but no files are attached here, "
        "and I cannot write an answer of my own.",
        "“",
        "”",
    ),
    "de": Wording(
        "Es ist kein Sprachmodell eingerichtet: Dies sind Zitate aus den Dateien, keine formulierte Antwort.",
        "Keine Stelle enthält die Wörter der Frage. Die nächstliegende lautet:",
        "Ich habe in den Dateien keine Stelle dazu gefunden. Es ist kein Sprachmodell eingerichtet; ich kann nur aus "
        "Dateien zitieren.",
        "Es ist kein Sprachmodell eingerichtet. Ich kann Dateien durchsuchen und daraus zitieren, aber hier sind keine "
        "Dateien angehängt, und eine eigene Antwort kann ich nicht schreiben.",
        "„",
        "“",
    ),
    "es": Wording(
        "No hay ningún modelo de lenguaje configurado: son citas de los archivos, no una respuesta redactada.",
        "Ningún pasaje contiene las palabras de la pregunta. El más cercano dice:",
        "No he encontrado ningún pasaje sobre esto en los archivos. No hay ningún modelo de lenguaje configurado; solo "
        "puedo citar archivos.",
        "No hay ningún modelo de lenguaje configurado. Puedo buscar en archivos y citarlos, pero aquí no hay archivos "
        "adjuntos, y no puedo redactar una respuesta propia.",
        "«",
        "»",
    ),
    "fr": Wording(
        "Aucun modèle de langage n’est configuré : ce sont des citations des fichiers, et non une réponse rédigée.",
        "Aucun passage ne contient les mots de la question. Le plus proche dit :",
        "Je n’ai trouvé aucun passage à ce sujet dans les fichiers. Aucun modèle de langage n’est configuré ; je ne "
        "peux que citer des fichiers.",
        "Aucun modèle de langage n’est configuré. Je peux chercher dans des fichiers et les citer, mais aucun fichier "
        "n’est joint ici, et je ne peux pas rédiger de réponse moi-même.",
        "« ",
        " »",
    ),
    "zh": Wording(
        "未配置语言模型：以上是文件原文的摘录，并非撰写的回答。",
        "没有段落包含问题中的词语。最接近的一段是：",
        "在文件中没有找到相关的段落。未配置语言模型，只能摘录文件原文。",
        "未配置语言模型。我可以检索文件并摘录原文，但这里没有附加文件，也无法自行撰写回答。",
        "“",
        "”",
    ),
    "ja": Wording(
        "言語モデルが設定されていないため、以上は回答文ではなくファイルからの引用です。",
        "質問の語を含む箇所はありません。最も近い箇所は次のとおりです。",
        "ファイルの中に該当する箇所は見つかりませんでした。言語モデルが設定されていないため、ファイルからの引用のみ可能です。",
        "言語モデルが設定されていません。ファイルを検索して引用することはできますが、ここにはファイルが添付されておらず、"
        "自分で回答を書くことはできません。",
        "「",
        "」",
    ),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS: Final = {
    "en": _words(
        "a about after all also am an and any are as at be been but by can could did do does for from had has "
        "have how i if in into is it its many me much my no not of on or our please should so some tell than that the "
        "their them there these they this to us was we were what when where which who whom whose why will "
        "with would you your"
    ),
    "de": _words(
        "aber alle als also am an auch auf aus bei bin bis bitte da das dass dem den der des die dies diese "
        "dieser dir du durch ein eine einem einen einer eines er es für haben hat ich ihr ihre im in ist kann "
        "können man mein mit muss müssen nach nicht noch nur oder sein sich sie sind so um und uns unter vom "
        "von vor wann war warum was welche welchem welchen welcher welches wenn wer werden wie wieviel wir "
        "wird wo zu zum zur über"
    ),
    "es": _words(
        "a al algo como con cual cuales cuando cuanta cuantas cuanto cuantos cuál cuáles cuándo cuánta "
        "cuántas cuánto cuántos de del desde donde dos dónde el en entre es esa ese eso esta este esto está "
        "fue ha hay la las le lo los me mi muy más no nos o para pero por porque puede pueden que quien quién "
        "qué se ser si sin sobre son su sus te tiene tienen tu un una uno unos y ya yo él"
    ),
    "fr": _words(
        "au aux avec c ce ces cette combien comment d dans de des du elle elles en est et eu faut il ils j je "
        "l la le les leur leurs lui m ma mais me mes mon n ne nos notre nous on ont ou où par pas peut "
        "peuvent plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa se ses si son sont "
        "sur t ta te tes ton tu un une vos votre vous y à être"
    ),
}
ALL_STOP_WORDS: Final = frozenset().union(*STOP_WORDS.values())


def language(*texts: str) -> str:
    """Name the language of the first text that shows one: `ja`, `zh`, `de`, `en`, `es` or `fr`; English if none does.

    Kana make Japanese, other Han characters Chinese; the rest is told apart by stop words.
    """
    for text in texts:
        if found := _language(text):
            return found
    return "en"


def is_cjk(text: str) -> bool:
    """Tell whether a text is in Chinese or Japanese script."""
    letters = sum(character.isalpha() for character in text) or 1
    return len(_KANA.findall(text)) + len(_HAN.findall(text)) > letters * 0.2


def _language(text: str) -> str | None:
    if is_cjk(text):
        kana = len(_KANA.findall(text))
        return "ja" if kana > (kana + len(_HAN.findall(text))) * 0.05 else "zh"
    words = _WORD.findall(text.lower())
    hits = {name: sum(word in stop for word in words) for name, stop in STOP_WORDS.items()}
    best = max(hits, key=lambda name: hits[name])
    alone = sum(n == hits[best] for n in hits.values()) == 1
    return best if hits[best] and alone else None
