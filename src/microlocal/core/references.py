"""The bibliography: one BibTeX entry per key, cited by members of the registry, certificates and reconstructions."""

import re
from collections.abc import Iterable

from microlocal.core.errors import UnknownNameError


def _entry(kind: str, key: str, fields: dict[str, str]) -> tuple[str, str]:
    lines = "".join(f"  {name:<9} = {{{value}}},\n" for name, value in fields.items())
    return key, f"@{kind}{{{key},\n{lines}}}"


REFERENCES: dict[str, str] = dict(
    (
        _entry(
            "article",
            "barnett2019",
            {
                "author": "Barnett, Alexander H. and Magland, Jeremy and af Klinteberg, Ludvig",
                "title": "A parallel nonuniform fast Fourier transform library based on an exponential of "
                "semicircle kernel",
                "journal": "SIAM Journal on Scientific Computing",
                "volume": "41",
                "number": "5",
                "pages": "C479--C504",
                "year": "2019",
                "doi": "10.1137/18M120885X",
            },
        ),
        _entry(
            "article",
            "beck2009",
            {
                "author": "Beck, Amir and Teboulle, Marc",
                "title": "A fast iterative shrinkage-thresholding algorithm for linear inverse problems",
                "journal": "SIAM Journal on Imaging Sciences",
                "volume": "2",
                "number": "1",
                "pages": "183--202",
                "year": "2009",
                "doi": "10.1137/080716542",
            },
        ),
        _entry(
            "article",
            "boyd2011",
            {
                "author": "Boyd, Stephen and Parikh, Neal and Chu, Eric and Peleato, Borja and Eckstein, Jonathan",
                "title": "Distributed optimization and statistical learning via the alternating direction method of "
                "multipliers",
                "journal": "Foundations and Trends in Machine Learning",
                "volume": "3",
                "number": "1",
                "pages": "1--122",
                "year": "2011",
                "doi": "10.1561/2200000016",
            },
        ),
        _entry(
            "article",
            "bredies2010",
            {
                "author": "Bredies, Kristian and Kunisch, Karl and Pock, Thomas",
                "title": "Total generalized variation",
                "journal": "SIAM Journal on Imaging Sciences",
                "volume": "3",
                "number": "3",
                "pages": "492--526",
                "year": "2010",
                "doi": "10.1137/090769521",
            },
        ),
        _entry(
            "article",
            "bubba2019",
            {
                "author": 'Bubba, Tatiana A. and Kutyniok, Gitta and Lassas, Matti and M{\\"a}rz, Maximilian and '
                "Samek, Wojciech and Siltanen, Samuli and Srinivasan, Vignesh",
                "title": "Learning the invisible: a hybrid deep learning--shearlet framework for limited angle "
                "computed tomography",
                "journal": "Inverse Problems",
                "volume": "35",
                "number": "6",
                "pages": "064002",
                "year": "2019",
                "doi": "10.1088/1361-6420/ab10ca",
            },
        ),
        _entry(
            "article",
            "burgholzer2007",
            {
                "author": 'Burgholzer, Peter and Bauer-Marschallinger, Johannes and Gr{\\"u}n, Hubert and '
                'Haltmeier, Markus and Paltauf, G{\\"u}nther',
                "title": "Temporal back-projection algorithms for photoacoustic tomography with integrating "
                "line detectors",
                "journal": "Inverse Problems",
                "volume": "23",
                "number": "6",
                "pages": "S65--S80",
                "year": "2007",
                "doi": "10.1088/0266-5611/23/6/S06",
            },
        ),
        _entry(
            "article",
            "chambolle2004",
            {
                "author": "Chambolle, Antonin",
                "title": "An algorithm for total variation minimization and applications",
                "journal": "Journal of Mathematical Imaging and Vision",
                "volume": "20",
                "pages": "89--97",
                "year": "2004",
                "doi": "10.1023/B:JMIV.0000011325.36760.1e",
            },
        ),
        _entry(
            "article",
            "chambolle2011",
            {
                "author": "Chambolle, Antonin and Pock, Thomas",
                "title": "A first-order primal-dual algorithm for convex problems with applications to imaging",
                "journal": "Journal of Mathematical Imaging and Vision",
                "volume": "40",
                "number": "1",
                "pages": "120--145",
                "year": "2011",
                "doi": "10.1007/s10851-010-0251-1",
            },
        ),
        _entry(
            "article",
            "chang2000",
            {
                "author": "Chang, S. Grace and Yu, Bin and Vetterli, Martin",
                "title": "Adaptive wavelet thresholding for image denoising and compression",
                "journal": "IEEE Transactions on Image Processing",
                "volume": "9",
                "number": "9",
                "pages": "1532--1546",
                "year": "2000",
                "doi": "10.1109/83.862633",
            },
        ),
        _entry(
            "article",
            "candes2006",
            {
                "author": "Cand{\\`e}s, Emmanuel and Demanet, Laurent and Donoho, David and Ying, Lexing",
                "title": "Fast discrete curvelet transforms",
                "journal": "Multiscale Modeling and Simulation",
                "volume": "5",
                "number": "3",
                "pages": "861--899",
                "year": "2006",
                "doi": "10.1137/05064182X",
            },
        ),
        _entry(
            "incollection",
            "coifman1995",
            {
                "author": "Coifman, Ronald R. and Donoho, David L.",
                "title": "Translation-invariant de-noising",
                "booktitle": "Wavelets and Statistics",
                "series": "Lecture Notes in Statistics",
                "volume": "103",
                "publisher": "Springer",
                "pages": "125--150",
                "year": "1995",
                "doi": "10.1007/978-1-4612-2544-7_9",
            },
        ),
        _entry(
            "article",
            "delaney1996",
            {
                "author": "Delaney, Alexander H. and Bresler, Yoram",
                "title": "A fast and accurate {Fourier} algorithm for iterative parallel-beam tomography",
                "journal": "IEEE Transactions on Image Processing",
                "volume": "5",
                "number": "5",
                "pages": "740--753",
                "year": "1996",
                "doi": "10.1109/83.495957",
            },
        ),
        _entry(
            "article",
            "donoho1994",
            {
                "author": "Donoho, David L. and Johnstone, Iain M.",
                "title": "Ideal spatial adaptation by wavelet shrinkage",
                "journal": "Biometrika",
                "volume": "81",
                "number": "3",
                "pages": "425--455",
                "year": "1994",
                "doi": "10.1093/biomet/81.3.425",
            },
        ),
        _entry(
            "article",
            "donoho2013",
            {
                "author": "Donoho, David and Kutyniok, Gitta",
                "title": "Microlocal analysis of the geometric separation problem",
                "journal": "Communications on Pure and Applied Mathematics",
                "volume": "66",
                "number": "1",
                "pages": "1--47",
                "year": "2013",
                "doi": "10.1002/cpa.21418",
            },
        ),
        _entry(
            "article",
            "elad2005",
            {
                "author": "Elad, Michael and Starck, Jean-Luc and Querre, Philippe and Donoho, David L.",
                "title": "Simultaneous cartoon and texture image inpainting using morphological component analysis "
                "(MCA)",
                "journal": "Applied and Computational Harmonic Analysis",
                "volume": "19",
                "number": "3",
                "pages": "340--358",
                "year": "2005",
                "doi": "10.1016/j.acha.2005.03.005",
            },
        ),
        _entry(
            "article",
            "fessler2005",
            {
                "author": "Fessler, Jeffrey A. and Lee, Sangwoo and Olafsson, Valur T. and Shi, Hugo R. and "
                "Noll, Douglas C.",
                "title": "Toeplitz-based iterative image reconstruction for MRI with correction for magnetic field "
                "inhomogeneity",
                "journal": "IEEE Transactions on Signal Processing",
                "volume": "53",
                "number": "9",
                "pages": "3393--3402",
                "year": "2005",
                "doi": "10.1109/TSP.2005.853152",
            },
        ),
        _entry(
            "article",
            "frikel2013",
            {
                "author": 'Frikel, J{\\"u}rgen and Quinto, Eric Todd',
                "title": "Characterization and reduction of artifacts in limited angle tomography",
                "journal": "Inverse Problems",
                "volume": "29",
                "number": "12",
                "pages": "125007",
                "year": "2013",
                "doi": "10.1088/0266-5611/29/12/125007",
            },
        ),
        _entry(
            "article",
            "guo2007",
            {
                "author": "Guo, Kanghui and Labate, Demetrio",
                "title": "Optimally sparse multidimensional representation using shearlets",
                "journal": "SIAM Journal on Mathematical Analysis",
                "volume": "39",
                "number": "1",
                "pages": "298--318",
                "year": "2007",
                "doi": "10.1137/060649781",
            },
        ),
        _entry(
            "article",
            "guo2013",
            {
                "author": "Guo, Kanghui and Labate, Demetrio",
                "title": "The construction of smooth {Parseval} frames of shearlets",
                "journal": "Mathematical Modelling of Natural Phenomena",
                "volume": "8",
                "number": "1",
                "pages": "82--105",
                "year": "2013",
                "doi": "10.1051/mmnp/20138106",
            },
        ),
        _entry(
            "book",
            "hansen2006",
            {
                "author": "Hansen, Per Christian and Nagy, James G. and O'Leary, Dianne P.",
                "title": "Deblurring Images: Matrices, Spectra, and Filtering",
                "publisher": "SIAM",
                "year": "2006",
                "doi": "10.1137/1.9780898718874",
            },
        ),
        _entry(
            "misc",
            "hauser2012",
            {
                "author": 'H{\\"a}user, S{\\"o}ren and Steidl, Gabriele',
                "title": "Fast finite shearlet transform: a tutorial",
                "eprint": "1202.1773",
                "archiveprefix": "arXiv",
                "year": "2012",
            },
        ),
        _entry(
            "article",
            "hestenes1952",
            {
                "author": "Hestenes, Magnus R. and Stiefel, Eduard",
                "title": "Methods of conjugate gradients for solving linear systems",
                "journal": "Journal of Research of the National Bureau of Standards",
                "volume": "49",
                "number": "6",
                "pages": "409--436",
                "year": "1952",
                "doi": "10.6028/jres.049.044",
            },
        ),
        _entry(
            "book",
            "horn1985",
            {
                "author": "Horn, Roger A. and Johnson, Charles R.",
                "title": "Matrix Analysis",
                "publisher": "Cambridge University Press",
                "year": "1985",
            },
        ),
        _entry(
            "article",
            "jorgensen2023",
            {
                "author": "J{\\o}rgensen, Jakob S. and Papoutsellis, Evangelos and Murgatroyd, Laura and "
                "Fardell, Gemma and Pasca, Edoardo",
                "title": "A directional regularization method for the limited-angle {Helsinki Tomography Challenge} "
                "using the {Core Imaging Library} ({CIL})",
                "journal": "Applied Mathematics for Modern Challenges",
                "volume": "1",
                "number": "2",
                "pages": "143--169",
                "year": "2023",
            },
        ),
        _entry(
            "article",
            "joseph1982",
            {
                "author": "Joseph, Peter M.",
                "title": "An improved algorithm for reprojecting rays through pixel images",
                "journal": "IEEE Transactions on Medical Imaging",
                "volume": "1",
                "number": "3",
                "pages": "192--196",
                "year": "1982",
                "doi": "10.1109/TMI.1982.4307572",
            },
        ),
        _entry(
            "book",
            "kak1988",
            {
                "author": "Kak, Avinash C. and Slaney, Malcolm",
                "title": "Principles of Computerized Tomographic Imaging",
                "publisher": "IEEE Press",
                "year": "1988",
            },
        ),
        _entry(
            "book",
            "kutyniok2012",
            {
                "editor": "Kutyniok, Gitta and Labate, Demetrio",
                "title": "{Shearlets}: Multiscale Analysis for Multivariate Data",
                "publisher": 'Birkh{\\"a}user',
                "year": "2012",
                "doi": "10.1007/978-0-8176-8316-0",
            },
        ),
        _entry(
            "article",
            "kutyniok2016",
            {
                "author": "Kutyniok, Gitta and Lim, Wang-Q and Reisenhofer, Rafael",
                "title": "ShearLab 3D: faithful digital shearlet transforms based on compactly supported shearlets",
                "journal": "ACM Transactions on Mathematical Software",
                "volume": "42",
                "number": "1",
                "pages": "5:1--5:42",
                "year": "2016",
                "doi": "10.1145/2740960",
            },
        ),
        _entry(
            "incollection",
            "kutyniok2023",
            {
                "author": "Kutyniok, Gitta",
                "title": "An introduction to the mathematics of deep learning",
                "booktitle": "European Congress of Mathematics",
                "publisher": "EMS Press",
                "year": "2023",
                "url": "https://ems.press/books/standalone/262/5190",
            },
        ),
        _entry(
            "article",
            "lustig2007",
            {
                "author": "Lustig, Michael and Donoho, David and Pauly, John M.",
                "title": "Sparse MRI: the application of compressed sensing for rapid MR imaging",
                "journal": "Magnetic Resonance in Medicine",
                "volume": "58",
                "number": "6",
                "pages": "1182--1195",
                "year": "2007",
                "doi": "10.1002/mrm.21391",
            },
        ),
        _entry(
            "article",
            "mallat1989",
            {
                "author": "Mallat, St{\\'e}phane G.",
                "title": "A theory for multiresolution signal decomposition: the wavelet representation",
                "journal": "IEEE Transactions on Pattern Analysis and Machine Intelligence",
                "volume": "11",
                "number": "7",
                "pages": "674--693",
                "year": "1989",
                "doi": "10.1109/34.192463",
            },
        ),
        _entry(
            "misc",
            "meaney2022",
            {
                "author": "Meaney, Alexander and Silva de Moura, Fernando and Siltanen, Samuli",
                "title": "{Helsinki Tomography Challenge} 2022 open tomographic dataset ({HTC} 2022)",
                "publisher": "Zenodo",
                "year": "2022",
                "doi": "10.5281/zenodo.6984868",
            },
        ),
        _entry(
            "article",
            "morozov1966",
            {
                "author": "Morozov, Vladimir A.",
                "title": "On the solution of functional equations by the method of regularization",
                "journal": "Soviet Mathematics Doklady",
                "volume": "7",
                "pages": "414--417",
                "year": "1966",
            },
        ),
        _entry(
            "book",
            "natterer1986",
            {
                "author": "Natterer, Frank",
                "title": "The Mathematics of Computerized Tomography",
                "publisher": "Teubner and Wiley",
                "year": "1986",
            },
        ),
        _entry(
            "article",
            "odonoghue2015",
            {
                "author": "O'Donoghue, Brendan and Cand{\\`e}s, Emmanuel",
                "title": "Adaptive restart for accelerated gradient schemes",
                "journal": "Foundations of Computational Mathematics",
                "volume": "15",
                "number": "3",
                "pages": "715--732",
                "year": "2015",
                "doi": "10.1007/s10208-013-9150-3",
            },
        ),
        _entry(
            "article",
            "otsu1979",
            {
                "author": "Otsu, Nobuyuki",
                "title": "A threshold selection method from gray-level histograms",
                "journal": "IEEE Transactions on Systems, Man, and Cybernetics",
                "volume": "9",
                "number": "1",
                "pages": "62--66",
                "year": "1979",
                "doi": "10.1109/TSMC.1979.4310076",
            },
        ),
        _entry(
            "article",
            "parker1982",
            {
                "author": "Parker, Dennis L.",
                "title": "Optimal short scan convolution reconstruction for fan beam {CT}",
                "journal": "Medical Physics",
                "volume": "9",
                "number": "2",
                "pages": "254--257",
                "year": "1982",
                "doi": "10.1118/1.595078",
            },
        ),
        _entry(
            "article",
            "pipe1999",
            {
                "author": "Pipe, James G. and Menon, Padmanabhan",
                "title": "Sampling density compensation in MRI: rationale and an iterative numerical solution",
                "journal": "Magnetic Resonance in Medicine",
                "volume": "41",
                "number": "1",
                "pages": "179--186",
                "year": "1999",
            },
        ),
        _entry(
            "inproceedings",
            "pock2011",
            {
                "author": "Pock, Thomas and Chambolle, Antonin",
                "title": "Diagonal preconditioning for first order primal-dual algorithms in convex optimization",
                "booktitle": "IEEE International Conference on Computer Vision (ICCV)",
                "pages": "1762--1769",
                "year": "2011",
                "doi": "10.1109/ICCV.2011.6126441",
            },
        ),
        _entry(
            "article",
            "pruessmann1999",
            {
                "author": "Pruessmann, Klaas P. and Weiger, Markus and Scheidegger, Markus B. and Boesiger, Peter",
                "title": "SENSE: sensitivity encoding for fast MRI",
                "journal": "Magnetic Resonance in Medicine",
                "volume": "42",
                "number": "5",
                "pages": "952--962",
                "year": "1999",
            },
        ),
        _entry(
            "article",
            "quinto1993",
            {
                "author": "Quinto, Eric Todd",
                "title": "Singularities of the {X}-ray transform and limited data tomography in $R^2$ and $R^3$",
                "journal": "SIAM Journal on Mathematical Analysis",
                "volume": "24",
                "number": "5",
                "pages": "1215--1225",
                "year": "1993",
                "doi": "10.1137/0524069",
            },
        ),
        _entry(
            "article",
            "rudin1992",
            {
                "author": "Rudin, Leonid I. and Osher, Stanley and Fatemi, Emad",
                "title": "Nonlinear total variation based noise removal algorithms",
                "journal": "Physica D: Nonlinear Phenomena",
                "volume": "60",
                "number": "1--4",
                "pages": "259--268",
                "year": "1992",
                "doi": "10.1016/0167-2789(92)90242-F",
            },
        ),
        _entry(
            "article",
            "tachella2025",
            {
                "author": "Tachella, Juli{\\'a}n and others",
                "title": "DeepInverse: a Python package for solving imaging inverse problems with deep learning",
                "journal": "Journal of Open Source Software",
                "year": "2025",
            },
        ),
        _entry(
            "article",
            "wohlberg2016",
            {
                "author": "Wohlberg, Brendt",
                "title": "Efficient algorithms for convolutional sparse representations",
                "journal": "IEEE Transactions on Image Processing",
                "volume": "25",
                "number": "1",
                "pages": "301--315",
                "year": "2016",
                "doi": "10.1109/TIP.2015.2495260",
            },
        ),
    )
)

_ACCENTS = {'\\"a': "ä", '\\"o': "ö", '\\"u': "ü", "\\`e": "è", "\\o": "ø"}


def citation(key: str) -> str:
    """Return the short form of an entry: family names and year.

    Raises UnknownNameError for a key that is not in ``REFERENCES``.

    >>> citation("joseph1982"), citation("beck2009"), citation("rudin1992")
    ('Joseph 1982', 'Beck & Teboulle 2009', 'Rudin et al. 1992')
    """
    entry = _lookup(key)
    people = re.search(r"(?:author|editor)\s*= \{(.*)\},", entry)
    year = re.search(r"year\s*= \{(\d+)\}", entry)
    families = [person.split(",")[0] for person in people.group(1).split(" and ")] if people else [key]
    short = " & ".join(families) if len(families) <= 2 else f"{families[0]} et al."
    for code, letter in _ACCENTS.items():
        short = short.replace("{" + code + "}", letter)
    return f"{short} {year.group(1)}" if year else short


def bibtex(keys: Iterable[str]) -> str:
    """Return the entries of ``keys`` as one BibTeX text, each once, in alphabetical order.

    Raises UnknownNameError for a key that is not in ``REFERENCES``.

    >>> bibtex(["horn1985", "horn1985"]).count("@book")
    1
    """
    return "\n\n".join(_lookup(key) for key in sorted(set(keys)))


def _lookup(key: str) -> str:
    if key not in REFERENCES:
        raise UnknownNameError("references", key, REFERENCES)
    return REFERENCES[key]
