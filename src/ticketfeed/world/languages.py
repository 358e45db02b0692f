"""The languages of the people: names, place, and what they write. English text stands in words.py.

A name may be given as `shown=plain`; the plain spelling serves for email addresses. Braces as in words.py.
"""
# ruff: noqa: RUF001  -- text in other scripts is the purpose of this file

from dataclasses import dataclass

__all__ = ["LANGUAGES", "Language", "Names"]

Names = tuple[tuple[str, str], ...]


def _names(text: str) -> Names:
    pairs = (entry.partition("=") for entry in text.split())
    return tuple((shown, (plain or shown).lower()) for shown, _, plain in pairs)


@dataclass(frozen=True, slots=True)
class Language:
    """`share`: people in a hundred. `subjects` and the rest are empty for English."""

    locale: str
    locale_id: int
    share: int
    time_zone: str
    iana_time_zone: str
    first_names: Names
    last_names: Names
    greetings: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    closings: tuple[str, ...] = ()


LANGUAGES = (
    Language(
        "en-US",
        1,
        66,
        "Eastern Time (US & Canada)",
        "America/New_York",
        _names(
            "Alice Ben Carla Dmitri Elena Farid Grace Hugo Ines Jamal Keiko Liam Mei Nadia Omar Priya Quentin"
            " Rosa Sam Tamika Uma Victor Wanda Xavier Yara Zoë=Zoe Siân=Sian José=Jose Aoife Björn=Bjorn"
        ),
        _names(
            "Adams Baker Castillo Dawson Ellis Foster Grant Hughes Ibrahim Jansen Kowalski Larkin Mbeki"
            " Nguyen O'Neill=oneill Patel Quigley Rivera Stone Taylor Usman Vance Walsh Xu Young Zimmer"
            " Lindqvist Müller=mueller Smith-Jones D'Arcy=darcy"
        ),
    ),
    Language(
        "de",
        8,
        7,
        "Berlin",
        "Europe/Berlin",
        _names("Anja Bernd Christa Dirk Erika Frank Heike Jörg=joerg Käthe=kaethe Lukas"),
        _names("Becker Fuchs Größe=groesse Hartmann König=koenig Lehmann Schäfer=schaefer Vogel Weiß=weiss"),
        ("Guten Tag,", "Hallo,", "Sehr geehrte Damen und Herren,"),
        (
            "Lieferung {order} fehlt",
            "{product} läuft nicht mehr",
            "Rechnung für {order} bitte ändern",
            "Rückfrage zur Gewährleistung",
        ),
        (
            "die Bestellung {order} sollte längst in {city} sein, die Sendungsverfolgung steht aber still.",
            "Der {product} brummt nur noch und schaltet sich nach kurzer Zeit ab.",
            "Bitte stellen Sie die Rechnung auf unsere Firma aus, die Anschrift bleibt gleich.",
            "Die Größe des Dichtrings steht leider nirgends im Handbuch.",
            "Ich habe das Gerät über Nacht vom Netz genommen, geändert hat das nichts.",
            "Am {day} war das Paket schon einmal beim Nachbarn, danach verliert sich die Spur.",
        ),
        ("Mit freundlichen Grüßen", "Viele Grüße", "Besten Dank im Voraus"),
    ),
    Language(
        "fr",
        16,
        6,
        "Paris",
        "Europe/Paris",
        _names("Amélie=amelie Bruno Chloé=chloe Denis Églantine=eglantine François=francois Hélène=helene Luc"),
        _names("Bernard Lefèvre=lefevre Garçon=garcon Moreau Noël=noel Petit Roux Lœuillet=loeuillet"),
        ("Bonjour,", "Bonjour à tous,", "Madame, Monsieur,"),
        (
            "Commande {order} jamais reçue",
            "Mon {product} ne chauffe plus",
            "Demande de remboursement de {amount}",
            "Problème d’accès à l’application",
        ),
        (
            "ma commande {order} devait arriver à {city} la semaine dernière.",
            "L’appareil s’allume, puis s’éteint dès que l’eau commence à chauffer.",
            "J’ai été débité deux fois de {amount} et je n’ai qu’une seule facture.",
            "Depuis la version {version}, l’écran reste blanc après le mot de passe.",
            "Où puis-je trouver le numéro de série ? L’étiquette est illisible.",
            "Le livreur est passé le {day} sans sonner ; le point relais ne sait rien.",
        ),
        ("Cordialement", "Merci d’avance", "Bien à vous"),
    ),
    Language(
        "es",
        2,
        6,
        "Madrid",
        "Europe/Madrid",
        _names("Begoña=begona Carlos Íñigo=inigo Lucía=lucia Marta Nuria Óscar=oscar Pilar Raúl=raul"),
        _names("Castaño=castano Domínguez=dominguez Fernández=fernandez Ibáñez=ibanez López=lopez Muñoz=munoz"),
        ("Hola:", "Buenos días:", "Estimado equipo:"),
        (
            "¿Dónde está el pedido {order}?",
            "{product}: pieza rota al abrir la caja",
            "No puedo entrar en mi cuenta",
            "Devolución de {amount} pendiente",
        ),
        (
            "El pedido {order} sigue sin llegar a {city} y nadie me da una fecha.",
            "La tapa venía rota y en la caja faltaba el manual.",
            "Cada vez que escribo la contraseña, la aplicación vuelve al principio.",
            "¿Podrían enviarme la pieza suelta? Con la pequeña bastaría.",
            "Pagué {amount} el {day} y todavía no veo la devolución.",
            "El año pasado ya tuve el mismo problema con otro modelo.",
        ),
        ("Un saludo", "Muchas gracias", "Quedo a la espera"),
    ),
    Language(
        "pt-BR",
        19,
        4,
        "Brasilia",
        "America/Sao_Paulo",
        _names("Ângela=angela Caio Débora=debora Érico=erico Fabrício=fabricio João=joao Lívia=livia Thaís=thais"),
        _names("Araújo=araujo Conceição=conceicao Gonçalves=goncalves Magalhães=magalhaes Sant’Ana=santana"),
        ("Olá,", "Bom dia,"),
        (
            "Pedido {order} não chegou",
            "Meu {product} parou de funcionar",
            "Não consigo cancelar a assinatura",
        ),
        (
            "o pedido {order} consta como entregue em {city}, mas não recebi nada.",
            "O aparelho liga, faz um barulho estranho e desliga sozinho.",
            "A cobrança de {amount} apareceu de novo depois do cancelamento.",
            "Já tentei outra tomada e outro cabo, sem sucesso.",
            "Desde a versão {version} o aplicativo não encontra a máquina.",
        ),
        ("Obrigado", "Atenciosamente", "Fico no aguardo"),
    ),
    Language(
        "ja",
        67,
        3,
        "Tokyo",
        "Asia/Tokyo",
        _names("さくら=sakura 健太=kenta 美咲=misaki 大輔=daisuke 陽子=yoko 翔=sho"),
        _names("山本=yamamoto 小林=kobayashi 渡辺=watanabe 高橋=takahashi 斎藤=saito"),
        ("お世話になっております。", "こんにちは。"),
        (
            "注文{order}がまだ届きません",
            "{product}の電源が入らない",
            "領収書の再発行をお願いします",
        ),
        (
            "{day}に注文した{product}がまだ届いていません。",
            "電源ボタンを押しても、ランプが三回点滅するだけです。",
            "領収書の宛名を会社名に変更していただけますか。",
            "バージョン{version}にしてから、アプリが白い画面のままになります。",
            "説明書の十二ページどおりに試しましたが、変わりませんでした。",
        ),
        ("よろしくお願いいたします。", "ご返信をお待ちしております。"),
    ),
    Language(
        "ru",
        27,
        2,
        "Moscow",
        "Europe/Moscow",
        _names("Анна=anna Борис=boris Вера=vera Дмитрий=dmitry Ирина=irina Фёдор=fyodor"),
        _names("Волкова=volkova Гусев=gusev Ёлкина=yolkina Жуков=zhukov Щукин=shchukin"),
        ("Здравствуйте!", "Добрый день!"),
        (
            "Где заказ {order}?",
            "{product} перестал нагревать воду",
            "Не приходит код для входа",
        ),
        (
            "Заказ {order} уже неделю лежит на складе в городе {city}.",
            "Машина включается, но через минуту гаснет, и так каждый раз.",
            "Код для входа не приходит ни на почту, ни на телефон.",
            "Верните, пожалуйста, {amount}: посылку я так и не получил.",
            "После обновления до {version} часы на экране отстают на час.",
        ),
        ("Спасибо!", "С уважением"),
    ),
    Language(
        "ar",
        66,
        2,
        "Riyadh",
        "Asia/Riyadh",
        _names("أمينة=amina خالد=khalid ليلى=layla سامر=samir هدى=huda"),
        _names("الحداد=alhaddad النجار=alnajjar منصور=mansour يوسف=yousef"),
        ("مرحباً،", "السلام عليكم،"),
        (
            "لم يصل الطلب {order}",
            "الجهاز {product} لا يعمل",
            "سؤال عن الفاتورة",
        ),
        (
            "لم يصل الطلب {order} إلى {city} حتى الآن.",
            "يضيء الجهاز ثم ينطفئ بعد دقيقة واحدة.",
            "أرجو إرسال الفاتورة باسم الشركة وليس باسمي.",
            "دفعت {amount} مرتين ولم أستلم إلا قطعة واحدة.",
            "جربت مقبساً آخر ولم يتغير شيء.",
        ),
        ("شكراً لكم", "مع التحية"),
    ),
    Language(
        "hi",
        1081,
        2,
        "New Delhi",
        "Asia/Kolkata",
        _names("अनीता=anita मोहन=mohan नेहा=neha राजेश=rajesh सुनीता=sunita"),
        _names("गुप्ता=gupta जोशी=joshi मिश्रा=mishra शर्मा=sharma"),
        ("नमस्ते,", "प्रिय टीम,"),
        (
            "ऑर्डर {order} अभी तक नहीं मिला",
            "{product} चालू नहीं हो रहा",
            "पैसे वापस करने का अनुरोध",
        ),
        (
            "मेरा ऑर्डर {order} अभी तक {city} नहीं पहुँचा है।",
            "बटन दबाने पर बत्ती जलती है और तुरंत बुझ जाती है।",
            "कृपया {amount} मेरे खाते में वापस कर दें।",
            "नया संस्करण {version} आने के बाद से ऐप बंद हो जाता है।",
        ),
        ("धन्यवाद", "आपके उत्तर की प्रतीक्षा रहेगी"),
    ),
    Language(
        "zh-CN",
        10,
        2,
        "Beijing",
        "Asia/Shanghai",
        _names("伟=wei 芳=fang 娜=na 敏=min 静=jing 强=qiang"),
        _names("王=wang 李=li 张=zhang 欧阳=ouyang 陈=chen"),
        ("您好：", "你好，"),
        (
            "订单{order}一直没有发货",
            "{product}无法连接网络",
            "请帮我修改发票抬头",
        ),
        (
            "我在{day}下的订单{order}到现在还没有发货。",
            "机器能开机，但是连不上家里的无线网络。",
            "发票抬头写错了，请改成公司名称，地址不变。",
            "升级到{version}以后，应用一打开就退出。",
            "退款{amount}还没有到账，请帮忙查一下。",
        ),
        ("谢谢！", "祝好"),
    ),
)
